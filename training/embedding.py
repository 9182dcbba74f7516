"""A whole data set → its embeddings, kept block by block so that a killed run goes on."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from index.gallery import Embeddings
from models_store.comparator import Comparator
from models_store.manifest import Side
from models_store.preparation import Windows
from models_store.sample import Degenerate, Sample, Unusable
from training.datasets import Collection, LabelledFile

BLOCK = 256  # files in a block
EMBEDDINGS = "embeddings.npy"
FILES = "files.tsv"
_PLAN = "plan.json"

Progress = Callable[[Sequence[int]], Iterable[int]]


class OtherData(Exception):
    """The folder holds embeddings by another comparator, or of other files."""


def embed_collection(
    comparator: Comparator,
    collection: Collection,
    out: Path,
    side: Side = "a",
    progress: Progress = iter,
) -> None:
    """Write the embeddings of all files to `out`: `embeddings.npy` and `files.tsv`.

    Row i of float32 (n, d) is the file in line i + 1 of the table, which has its path, identity,
    group and, where it could not be embedded (a row of NaN), the reason. A run that was killed
    goes on where it was, to the same bytes. Raises OtherData if `out` was begun by another
    comparator or on other files.
    """
    blocks = out / "blocks"
    blocks.mkdir(parents=True, exist_ok=True)
    _check_plan(out, comparator, collection, side)
    starts = range(0, len(collection.files), BLOCK)
    for start in progress(starts):
        path = blocks / f"{start:09}.npz"
        if not path.exists():
            files = collection.files[start : start + BLOCK]
            rows, reasons = _embed(comparator, files, collection.read, side)
            fresh = path.with_suffix(".fresh.npz")
            np.savez(fresh, embeddings=rows, reasons=reasons)
            fresh.replace(path)
    done = [np.load(blocks / f"{start:09}.npz", allow_pickle=False) for start in starts]
    fresh = out / "fresh.npy"
    np.save(fresh, np.concatenate([each["embeddings"] for each in done]))
    problems = np.concatenate([each["reasons"] for each in done])
    lines = ["path\tidentity\tgroup\tproblem"]
    lines += [
        f"{file.path}\t{file.identity}\t{file.group}\t{reason}"
        for file, reason in zip(collection.files, problems, strict=True)
    ]
    (out / FILES).write_text("\n".join(lines) + "\n", encoding="utf-8")
    fresh.replace(out / EMBEDDINGS)


def _embed(
    comparator: Comparator,
    files: Sequence[LabelledFile],
    read: Callable[[str], bytes],
    side: Side,
) -> tuple[Embeddings, list[str]]:
    """Return the embeddings (n, d) of some files, NaN where there is none, and why not."""
    rows = np.full((len(files), comparator.manifest.dimension), np.nan, np.float32)
    reasons = [""] * len(files)
    prepared: dict[int, Windows] = {}
    for i, file in enumerate(files):
        try:
            prepared[i] = comparator.prepare(Sample(read(file.path)), side)
        except Unusable as error:
            reasons[i] = str(error)
    try:
        rows[list(prepared)] = comparator.embed(list(prepared.values()), side)
    except Degenerate:  # one of them: each alone tells which
        for i, windows in prepared.items():
            try:
                rows[i] = comparator.embed([windows], side)
            except Degenerate as error:
                reasons[i] = str(error)
    return rows, reasons


def _check_plan(out: Path, comparator: Comparator, collection: Collection, side: Side) -> None:
    paths = "\n".join(file.path for file in collection.files).encode()
    plan = {
        "comparator": comparator.title,
        "digest": comparator.digest,
        "side": side,
        "files": len(collection.files),
        "paths": hashlib.sha256(paths).hexdigest(),
    }
    path = out / _PLAN
    if not path.exists():
        path.write_text(json.dumps(plan, indent=1))
    elif json.loads(path.read_text()) != plan:
        raise OtherData(f"{out} was begun by another comparator or on other files")
