"""What an encoder is given: a sample's bytes become windows, and windows become model runs."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from models_store.audio import prepare_audio
from models_store.image import prepare_image
from models_store.manifest import AudioInput, ImageInput, Input
from models_store.sample import SampleLimits
from models_store.text import open_tokenizer, prepare_text

Windows = tuple[npt.NDArray[Any], ...]
"""What an encoder is given of one sample, without the batch axis: all of it in one array, or of a
long one several, whose embeddings are averaged. float32 (c, h, w) of an image, float32 (time,) of
audio, int64 (tokens,) of text."""

Array = npt.NDArray[np.float32]


def preparation(
    spec: Input, limits: SampleLimits, read: Callable[[str], bytes]
) -> Callable[[bytes], Windows]:
    """Return what turns a sample's bytes into its windows; it raises as `prepare_image` does.

    `read` gives a file that the spec names, such as `tokenizer.json`. Raises BundleRefused if that
    is of no use.
    """
    match spec:
        case ImageInput():
            return lambda content: (prepare_image(content, spec, limits),)
        case AudioInput():
            return partial(prepare_audio, spec=spec, limits=limits)
        case _:
            tokenizer = open_tokenizer(read(spec.tokenizer), spec)
            return partial(prepare_text, tokenizer=tokenizer, spec=spec, limits=limits)


def together(spec: Input, rows: Sequence[npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return windows as the inputs of one run, by name, the shorter ones filled up with zeros.

    `image` (n, c, h, w); `waveform` (n, time) and `length` (n,); `input_ids` and `attention_mask`
    (n, tokens).
    """
    if isinstance(spec, ImageInput):
        return {"image": np.stack(rows)}
    lengths = np.array([len(row) for row in rows], np.int64)
    padded = np.zeros((len(rows), lengths.max()), rows[0].dtype)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = row
    if isinstance(spec, AudioInput):
        return {"waveform": padded, "length": lengths}
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    return {"input_ids": padded, "attention_mask": mask}


def embed_windows(
    inputs: Sequence[Windows],
    run: Callable[[list[npt.NDArray[Any]]], Array],
    *,
    most: int,
    lengths_may_differ: bool,
    normalised: bool,
) -> Array:
    """Return the embeddings (n, d) of n prepared samples, by running an encoder on their windows.

    `run` embeds some windows, at most `most`, (m, d): those of a sample not necessarily together,
    and of several lengths only where these may differ. A sample of several windows gets the mean
    of their embeddings, of norm 1 again if they are `normalised`.
    """
    rows = [window for sample in inputs for window in sample]
    lengths = np.array([row.shape[-1] for row in rows])
    runs = list(_runs(lengths, most, lengths_may_differ=lengths_may_differ))
    found = np.concatenate([run([rows[i] for i in chosen]) for chosen in runs])
    found = found[np.argsort(np.concatenate(runs), kind="stable")]
    if len(rows) == len(inputs):
        return found
    owners = np.repeat(np.arange(len(inputs)), [len(sample) for sample in inputs])
    embeddings = np.zeros((len(inputs), found.shape[1]), np.float32)
    np.add.at(embeddings, owners, found)
    embeddings /= np.bincount(owners)[:, None]
    if normalised:
        with np.errstate(invalid="ignore", divide="ignore"):  # who asks checks for both
            embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings


def _runs(
    lengths: npt.NDArray[np.int64], most: int, *, lengths_may_differ: bool
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield which windows share a model run: those next in length, at most so many."""
    order = np.argsort(lengths, kind="stable")
    groups = [order]
    if not lengths_may_differ:
        groups = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1)
    for group in groups:
        for start in range(0, len(group), most):
            yield group[start : start + most]
