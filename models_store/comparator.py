"""A loaded bundle: samples → embeddings, distances → scores."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import scipy  # its parts are loaded when first used: who decodes or tries bundles needs none

from models_store.manifest import BundleRefused, Manifest, Side
from models_store.preparation import Windows, embed_windows, together
from models_store.sample import Degenerate, Sample, SampleLimits, WrongModality

if TYPE_CHECKING:
    import onnxruntime

Device = Literal["auto", "cpu", "cuda"]
Array = npt.NDArray[np.float32]
Session: TypeAlias = "onnxruntime.InferenceSession"

NORM_TOLERANCE = 1e-3

MOST_WINDOWS = 64
"""How many windows of long samples go into one model run, where there are more than samples."""

CPU = "CPUExecutionProvider"

_PROVIDERS = {"cpu": CPU, "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True, slots=True)
class Comparator:
    """One or two encoders and a head, checked and ready to run.

    `cohorts` hold one embedding of each stranger as each side embeds it, float32 of shape
    (m, dimension); `cohort_groups` (m,) say which of them are of one kind, None if all are.
    `assets` are the text files that preparation reads, by name, and `test_vectors` the bytes of
    what the bundle promises to embed; `card` is what its maker says of it, in Markdown. Sessions
    are safe to run from several threads.
    """

    manifest: Manifest
    digest: str
    provider: str
    cohorts: Mapping[Side, Array]
    cohort_groups: npt.NDArray[np.int64] | None
    limits: SampleLimits
    assets: Mapping[str, str]
    test_vectors: bytes
    card: str
    _sessions: Mapping[Side, Session]
    _prepare: Mapping[Side, Callable[[bytes], Windows]]

    @property
    def title(self) -> str:
        """`name@version`."""
        return self.manifest.title

    @property
    def cohort(self) -> Array:
        """The strangers of side a, and of a siamese comparator all."""
        return self.cohorts["a"]

    def prepare(self, sample: Sample, side: Side = "a") -> Windows:
        """Return what the encoder is given of a sample.

        Raises WrongModality, Undecodable or SampleOutOfBounds.
        """
        return self._prepare[side](self.content_of(sample, side))

    def content_of(self, sample: Sample, side: Side) -> bytes:
        """Return the bytes of a sample, or raise WrongModality if a side compares another kind."""
        encoder = self.manifest.encoders[side]
        if sample.modality not in (None, encoder.modality):
            raise WrongModality(
                f"side {side} of {self.title} compares {encoder.modality}, got {sample.modality}"
            )
        return sample.content

    def embed(self, inputs: Sequence[Windows], side: Side = "a") -> Array:
        """Return the embeddings of n prepared samples: (n, dimension).

        A sample of several windows gets the mean of their embeddings, of norm 1 again where the
        comparator normalises. Raises Degenerate if one has no finite, non-zero embedding.
        """
        session, spec = self._sessions[side], self.manifest.encoders[side].input

        def run(windows: list[npt.NDArray[Any]]) -> Array:
            given = together(spec, windows)
            ports = [port.name for port in session.get_inputs()]
            # An image is the one input, whatever that is called.
            feeds = dict(zip(ports, given.values(), strict=False)) if len(ports) == 1 else given
            (found,) = session.run(None, feeds)
            return np.asarray(found, np.float32)

        embeddings = embed_windows(
            inputs,
            run,
            most=max(MOST_WINDOWS, len(inputs)),
            lengths_may_differ=self.tells_padding(side),
            normalised=self.manifest.normalised,
        )
        if not usable(embeddings).all():
            raise Degenerate("expected an input that leads to a finite, non-zero embedding")
        return np.ascontiguousarray(embeddings, np.float32)

    def tells_padding(self, side: Side) -> bool:
        """Return whether the encoder is told where padding begins, so that lengths may differ."""
        ports = {port.name for port in self._sessions[side].get_inputs()}
        return bool({"length", "attention_mask"} & ports)

    def accept(self, embedding: npt.ArrayLike) -> Array:
        """Return a ready embedding as float32 of shape (dimension,), if search can compare it.

        Raises WrongDimension or Degenerate.
        """
        vector = np.asarray(embedding, np.float32)
        if vector.shape != (self.manifest.dimension,):
            raise WrongDimension(
                f"{self.title} compares {self.manifest.dimension}-d embeddings, "
                f"got {vector.size}-d"
            )
        if not usable(vector[None]).all():
            raise Degenerate("expected finite numbers that are not all zero")
        norm = float(np.linalg.norm(vector))
        if self.manifest.normalised and abs(norm - 1) > NORM_TOLERANCE:
            raise Degenerate(
                f"{self.title} compares normalised embeddings: expected norm 1 ± {NORM_TOLERANCE}"
            )
        return vector

    def surely_accepts(self, rows: Sequence[Array]) -> list[bool]:
        """Return which embeddings `accept` would take; of others it is to be asked."""
        if any(row.shape != (self.manifest.dimension,) for row in rows) or not rows:
            return [False] * len(rows)
        together = np.stack(rows)
        sure = usable(together)
        if self.manifest.normalised:
            sure &= np.abs(np.linalg.norm(together, axis=1) - 1) < 0.9 * NORM_TOLERANCE
        return [bool(each) for each in sure]

    def distance(self, a: Array, b: Array) -> Array:
        """Return the distance of each row of `a` to the same row of `b`: (n, d), (n, d) → (n,)."""
        match self.manifest.distance:
            case "cosine":
                distances: Array = (1 - (a * b).sum(axis=1)).clip(0, 2)
            case "l2":
                distances = np.linalg.norm(a - b, axis=1)
            case "l1":
                distances = np.abs(a - b).sum(axis=1)
        return distances

    def score(self, distances: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the head's score of distances, elementwise: in [0, 1], higher is more alike."""
        head = self.manifest.head
        scores: npt.NDArray[np.float64] = scipy.special.expit(
            head.bias - head.weight * np.asarray(distances, np.float64)
        )
        return scores


class WrongDimension(Exception):
    """A ready embedding has another number of dimensions than the comparator."""


def usable(embeddings: Array) -> npt.NDArray[np.bool_]:
    """Return, for each row of (n, d), whether it is finite and not zero."""
    finite = np.isfinite(embeddings).all(axis=1)
    nonzero = np.square(embeddings, dtype=np.float64).sum(axis=1) > 1e-12
    result: npt.NDArray[np.bool_] = finite & nonzero
    return result


def runtime() -> ModuleType:
    """Return ONNX Runtime, which only who runs a model loads."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # noqa: TID251 - before the import, or it reports
    import onnxruntime

    return cast(ModuleType, onnxruntime)


def open_session(name: str, model: bytes, device: Device, threads: int) -> Session:
    """Return a session over the bytes of an ONNX file, on the device asked for.

    `threads` bounds ONNX Runtime's own threads (0: one per core). Raises BundleRefused.
    """
    onnxruntime = runtime()
    available = onnxruntime.get_available_providers()
    if device == "cuda" and _PROVIDERS["cuda"] not in available:
        raise BundleRefused(f"{name}: device cuda is asked for, ONNX Runtime offers {available}")
    use_cuda = device != "cpu" and _PROVIDERS["cuda"] in available
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Between two runs threads would wait by spinning, and keep a core from decoders and others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    providers = [_PROVIDERS["cuda"]] * use_cuda + [_PROVIDERS["cpu"]]
    try:
        return onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:
        raise BundleRefused(f"{name}: ONNX Runtime cannot load it") from error
