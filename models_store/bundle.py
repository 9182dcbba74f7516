"""A folder becomes a comparator, once it reproduces what it promises, or is refused."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from models_store.comparator import (
    CPU,
    NORM_TOLERANCE,
    Array,
    Comparator,
    Device,
    Session,
    open_session,
    usable,
)
from models_store.folder import BundleFiles, read_bundle
from models_store.graph import check_graph
from models_store.manifest import (
    AudioInput,
    BundleRefused,
    Encoder,
    Head,
    ImageInput,
    Manifest,
    Side,
    TextInput,
)
from models_store.preparation import Windows, preparation
from models_store.sample import Degenerate, SampleLimits
from models_store.text import longest_window

CARD = "card.md"
MOST_CARD = 2**16  # characters that are shown of it
COHORT = "cohort.npz"
TEST_VECTORS = "test_vectors.npz"
TOLERANCE = 1e-4

Port = tuple[str, str, tuple[int | None, ...]]
"""The name of an input or output ("" for any), its type, and its shape after the batch axis."""


def open_bundle(
    folder: Path,
    device: Device = "cpu",
    threads: int = 0,
    limits: SampleLimits = SampleLimits(),  # noqa: B008 - frozen
) -> Comparator:
    """Load the bundle in a folder, after checking that it reproduces what it promises.

    Raises BundleRefused with the reason.
    """
    return load_bundle(read_bundle(folder), device, threads, limits)


def load_bundle(
    given: BundleFiles,
    device: Device = "cpu",
    threads: int = 0,
    limits: SampleLimits = SampleLimits(),  # noqa: B008 - frozen
    *,
    tried: bool = False,
) -> Comparator:
    """Load a bundle from its files, after checking that it reproduces what it promises.

    Its graphs must be made of plain operators; the encoders must reproduce the test vectors
    within 1e-4, alone as in a batch, today as a moment ago; `head.onnx` must be the sigmoid of the
    manifest. `threads` bounds ONNX Runtime's own threads (0: one per core). Where these very
    files were `tried` on the CPU, they are not tried again there.

    Raises BundleRefused with the reason.
    """
    manifest, files = given.manifest, given.contents
    if missing := {CARD, COHORT, TEST_VECTORS} - set(files):
        raise BundleRefused(f"the manifest lists no {', '.join(sorted(missing))}")
    encoders = {encoder.file for encoder in manifest.encoders.values()}
    for name in sorted(encoders | {manifest.head.file}):
        check_graph(name, files[name])
    sessions: dict[str, Session] = {
        name: open_session(name, files[name], device, threads) for name in encoders
    }
    by_side = {side: sessions[encoder.file] for side, encoder in manifest.encoders.items()}
    for encoder in manifest.encoders.values():
        _check_signature(sessions[encoder.file], encoder, manifest.dimension)
    _check_head(
        open_session(manifest.head.file, files[manifest.head.file], "cpu", 1), manifest.head
    )
    comparator = Comparator(
        manifest=manifest,
        digest=given.digest,
        provider=by_side["a"].get_providers()[0],
        cohorts=MappingProxyType(
            {side: read_cohort(files[COHORT], manifest, side) for side in manifest.encoders}
        ),
        cohort_groups=read_cohort_groups(files[COHORT]),
        limits=limits,
        assets=MappingProxyType(
            {
                encoder.input.tokenizer: files[encoder.input.tokenizer].decode()
                for encoder in manifest.encoders.values()
                if isinstance(encoder.input, TextInput)
            }
        ),
        test_vectors=files[TEST_VECTORS],
        card=_card(files[CARD]),
        _sessions=MappingProxyType(by_side),
        _prepare=MappingProxyType(
            {
                side: preparation(encoder.input, limits, files.__getitem__)
                for side, encoder in manifest.encoders.items()
            }
        ),
    )
    if not (tried and comparator.provider == CPU):
        _try(comparator, files)
    return comparator


def broken_promise(comparator: Comparator) -> str | None:
    """Return in which way a loaded comparator embeds its test vectors other than it promises."""
    try:
        _check_test_vectors(comparator)
    except BundleRefused as reason:
        return str(reason)
    return None


def _card(content: bytes) -> str:
    """Return a card as text, and of a long one its beginning."""
    text = content[: 4 * MOST_CARD].decode("utf-8", "replace")
    return text if len(text) <= MOST_CARD else f"{text[: MOST_CARD - 1]}…"


def _try(comparator: Comparator, files: Mapping[str, bytes]) -> None:
    """Refuse a comparator that does not do what its files promise."""
    for side, encoder in comparator.manifest.encoders.items():
        if isinstance(encoder.input, TextInput):
            _check_vocabulary(comparator, side, encoder.input, files[encoder.input.tokenizer])
    _check_test_vectors(comparator)


def _check_signature(session: Session, encoder: Encoder, dimension: int) -> None:
    """Refuse an encoder whose ports are not those of its modality."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    match encoder.input:
        case ImageInput() as spec:
            wanted: list[Port] = [("", "tensor(float)", spec.shape)]
        case AudioInput() as spec:
            wanted = [("waveform", "tensor(float)", (None,)), ("length", "tensor(int64)", ())]
            if spec.short == "pad":
                wanted = wanted[: len(inputs)]
        case _:
            wanted = [(name, "tensor(int64)", (None,)) for name in ("attention_mask", "input_ids")]
            inputs = sorted(inputs, key=lambda port: port.name)
    if len(inputs) != len(wanted) or len(outputs) != 1:
        names = " and ".join(name for name, _, _ in wanted if name) or "one input"
        raise BundleRefused(f"{encoder.file}: expected {names}, and one output")
    wanted.append(("", "tensor(float)", (dimension,)))
    for port, (name, kind, shape) in zip((*inputs, *outputs), wanted, strict=True):
        if name and port.name != name:
            raise BundleRefused(f"{encoder.file}: expected the input {name}, got {port.name}")
        if port.type != kind:
            raise BundleRefused(f"{encoder.file}: {port.name}: expected {kind}, got {port.type}")
        if not _fits(port.shape, shape):
            sizes = "".join(f", {'any' if size is None else size}" for size in shape)
            raise BundleRefused(
                f"{encoder.file}: {port.name}: expected (batch{sizes}) with a free batch axis, "
                f"got {tuple(port.shape)}"
            )


def _fits(found: Sequence[int | str | None], wanted: tuple[int | None, ...]) -> bool:
    """Return whether a port's shape is a free batch axis and `wanted`, free where that is None."""
    return (
        len(found) == 1 + len(wanted)
        and not isinstance(found[0], int)
        and all(
            not isinstance(size, int) if want is None else size == want
            for size, want in zip(found[1:], wanted, strict=True)
        )
    )


def _check_head(session: Session, head: Head) -> None:
    distances = np.linspace(0, 4, 17, dtype=np.float32)
    try:
        (scores,) = session.run(None, {session.get_inputs()[0].name: distances})
    except Exception as error:
        raise BundleRefused(f"{head.file}: expected distances (n,) → scores (n,)") from error
    expected = 0.5 + 0.5 * np.tanh((head.bias - head.weight * distances) / 2)  # the sigmoid
    if scores.shape != (17,) or not np.allclose(scores, expected, atol=TOLERANCE):
        raise BundleRefused(f"{head.file} is not the sigmoid that the manifest describes")


def _check_vocabulary(comparator: Comparator, side: Side, spec: TextInput, content: bytes) -> None:
    """Refuse an encoder that does not know all that its tokenizer may give it."""
    window = longest_window(content, spec)
    try:
        comparator.embed([(window,)], side)
    except Degenerate:
        pass  # of a text that nobody writes
    except Exception as error:
        raise BundleRefused(
            f"side {side} cannot embed a window of {len(window)} times token {window[0]}, "
            f"which {spec.tokenizer} may give it"
        ) from error


def _read_arrays(name: str, content: bytes) -> dict[str, npt.NDArray[np.generic]]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except Exception as error:
        raise BundleRefused(f"{name}: expected an .npz of plain arrays") from error


def read_cohort(content: bytes, manifest: Manifest, side: Side = "a") -> Array:
    """Return the first embedding of each cohort identity on a side, float32 (m, dimension)."""
    arrays = _read_arrays(COHORT, content)
    name = "embeddings" if side == "a" or manifest.tied else "embeddings_b"
    try:
        identities, embeddings = arrays["identities"], arrays[name]
    except KeyError as error:
        raise BundleRefused(f"{COHORT}: expected identities and {name}") from error
    if embeddings.shape != (len(identities), manifest.dimension) or len(identities) == 0:
        raise BundleRefused(
            f"{COHORT}: expected {name} of shape (m, {manifest.dimension}), m > 0, "
            f"got {embeddings.shape}"
        )
    _, firsts = np.unique(identities, return_index=True)
    cohort: Array = embeddings[np.sort(firsts)].astype(np.float32)
    if not usable(cohort).all():
        raise BundleRefused(f"{COHORT}: expected finite, non-zero embeddings")
    if manifest.normalised:  # float16 on disk rounds the norm
        cohort /= np.linalg.norm(cohort, axis=1, keepdims=True)
    return cohort


def read_cohort_groups(content: bytes) -> npt.NDArray[np.int64] | None:
    """Return the group of each cohort identity (m,), None if the cohort is of one kind."""
    arrays = _read_arrays(COHORT, content)
    if "groups" not in arrays:
        return None
    identities, groups = arrays["identities"], arrays["groups"]
    if groups.shape != identities.shape or groups.dtype.kind not in "iu":
        raise BundleRefused(
            f"{COHORT}: expected {len(identities)} whole numbers as groups, "
            f"got {groups.dtype} {groups.shape}"
        )
    _, firsts = np.unique(identities, return_index=True)
    kept: npt.NDArray[np.int64] = groups[np.sort(firsts)].astype(np.int64)
    return kept


def pack_inputs(side: Side, inputs: Sequence[Windows]) -> dict[str, npt.NDArray[np.generic]]:
    """Return test inputs of a side as the arrays that `test_vectors.npz` keeps them in.

    All windows flat, one after the other, and of each window whose it is and its shape.
    """
    windows = [(owner, one) for owner, sample in enumerate(inputs) for one in sample]
    return {
        f"inputs_{side}": np.concatenate([one.ravel() for _, one in windows]),
        f"shapes_{side}": np.array([one.shape for _, one in windows], np.int64),
        f"owners_{side}": np.array([owner for owner, _ in windows], np.int64),
    }


def _unpack_inputs(side: Side, arrays: dict[str, npt.NDArray[np.generic]]) -> list[Windows]:
    """Return what `pack_inputs` packed; of images, the plain array (n, c, h, w) will do."""
    inputs = arrays[f"inputs_{side}"]
    if f"shapes_{side}" not in arrays:
        return [(one,) for one in inputs.astype(np.float32)]
    shapes = arrays[f"shapes_{side}"].astype(np.int64)
    ends = shapes.prod(axis=1).cumsum()
    if len(ends) == 0 or ends[-1] != len(inputs):
        raise ValueError
    windows = [
        flat.reshape(shape)
        for flat, shape in zip(np.split(inputs, ends[:-1]), shapes, strict=True)
    ]
    owners = arrays[f"owners_{side}"].astype(np.int64)
    return [
        tuple(one for one, owner in zip(windows, owners, strict=True) if owner == sample)
        for sample in range(owners.max() + 1)
    ]


def _check_test_vectors(comparator: Comparator) -> None:
    arrays = _read_arrays(TEST_VECTORS, comparator.test_vectors)
    sides: tuple[Side, ...] = ("a",) if comparator.manifest.tied else ("a", "b")
    for side in sides:
        try:
            inputs = _unpack_inputs(side, arrays)
            expected = arrays[f"embeddings_{side}"].astype(np.float32)
        except (KeyError, ValueError, IndexError) as error:
            raise BundleRefused(f"{TEST_VECTORS}: no inputs and embeddings of {side}") from error
        if len(inputs) < 2 or len(inputs) != len(expected) or not all(inputs):
            raise BundleRefused(f"{TEST_VECTORS}: expected at least 2 inputs, each embedded")
        lengths = {window.shape[-1] for sample in inputs for window in sample}
        if comparator.tells_padding(side) and len(lengths) < 2:
            raise BundleRefused(f"{TEST_VECTORS}: expected inputs of more than one length")
        try:
            batch = comparator.embed(inputs, side)
            again = comparator.embed(inputs, side)
            single = np.concatenate([comparator.embed([one], side) for one in inputs])
        except Degenerate as error:
            raise BundleRefused(f"side {side} embeds a test vector to nothing") from error
        except Exception as error:
            raise BundleRefused(f"side {side} cannot embed its test vectors") from error
        for finding, found in (
            ("does not reproduce its test vectors", batch),
            ("embeds an input in a batch, or padded, other than alone", single),
            ("embeds the same input differently from run to run", again),
        ):
            reference = expected if found is batch else batch
            if found.shape != reference.shape or np.abs(found - reference).max() > TOLERANCE:
                raise BundleRefused(f"side {side} {finding} (tolerance {TOLERANCE})")
        if comparator.manifest.normalised:
            norms = np.linalg.norm(batch, axis=1)
            if np.abs(norms - 1).max() > NORM_TOLERANCE:
                raise BundleRefused(f"side {side} is said to be normalised and is not")
