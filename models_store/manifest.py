"""The bundle's card: encoders, inputs, calibration, checksums."""

from typing import Annotated, Literal, Self

from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"

Side = Literal["a", "b"]
Modality = Literal["image", "audio", "text"]
Distance = Literal["cosine", "l2", "l1"]
Rule = Literal["max", "mean", "centroid", "knn"]

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Rate = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class BundleRefused(Exception):
    """A bundle does not keep its contract; the message says which part and why."""


class _Card(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ImageInput(_Card):
    """Pre-processing of an image, as data: decode → `mode` → fit to the size → scale.

    The encoder receives float32 of shape (batch, channels, height, width), each channel
    `(pixel / 255 - mean) / std`. `fit="pad"` keeps the aspect ratio on a `background` canvas,
    `fit="stretch"` does not, and `fit="content"` first cuts out what is drawn on the background.
    """

    kind: Literal["image"] = "image"
    width: int = Field(ge=8, le=1024)
    height: int = Field(ge=8, le=1024)
    mode: Literal["L", "RGB"] = "RGB"
    fit: Literal["pad", "stretch", "content"] = "pad"
    background: Annotated[int, Field(ge=0, le=255)] = 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return 1 if self.mode == "L" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one encoder input."""
        return (self.channels, self.height, self.width)

    @model_validator(mode="after")
    def _one_mean_and_std_per_channel(self) -> Self:
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, self.channels):
                raise ValueError(f"{name} must have 1 or {self.channels} values")
        return self


class AudioInput(_Card):
    """Pre-processing of audio, as data: decode → one channel → `sample_rate` → windows.

    Before the windows, what is `silence` decibels below the loudest is cut out, the rest must be
    `shortest` seconds long, and is brought to `loudness` (root mean square, in decibels of full
    scale); without these fields a clip stays as it is.

    The encoder receives float32 `waveform` (batch, time), 1 being full scale, and, if it takes it,
    int64 `length` (batch,): what follows the length is padding. Audio longer than `window` seconds
    is cut into windows every `hop` seconds, the last one at the end, and its embedding is the mean
    of theirs: nothing is cropped away. Audio shorter than a window stays as long as it is
    (`short="keep"`), or is filled up with silence (`short="pad"`: an encoder without `length`).
    """

    kind: Literal["audio"] = "audio"
    sample_rate: int = Field(ge=4000, le=96_000)
    window: float = Field(gt=0, le=60)
    hop: float = Field(gt=0, le=60)
    short: Literal["keep", "pad"] = "keep"
    silence: Annotated[float, Field(gt=0, le=120)] | None = None
    shortest: float = Field(0.01, gt=0, le=10)
    loudness: Annotated[float, Field(ge=-80, le=0)] | None = None

    @property
    def frames(self) -> int:
        """The number of values in a whole window."""
        return round(self.window * self.sample_rate)

    @model_validator(mode="after")
    def _windows_leave_nothing_out(self) -> Self:
        if self.hop > self.window:
            raise ValueError("hop must not be longer than window")
        return self


class TextInput(_Card):
    """Pre-processing of text, as data: UTF-8 → the tokens of a `tokenizer.json` → windows.

    The encoder receives int64 `input_ids` and `attention_mask` (batch, tokens). Text of more than
    `max_tokens`, those included that the tokenizer adds around it, is cut into windows that
    overlap by `overlap` tokens, the last one at the end, and its embedding is the mean of theirs:
    nothing is cropped away.
    """

    kind: Literal["text"] = "text"
    tokenizer: FileName = "tokenizer.json"
    max_tokens: int = Field(ge=4, le=8192)
    overlap: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _windows_move_on(self) -> Self:
        if 2 * self.overlap >= self.max_tokens:
            raise ValueError("overlap must be less than half of max_tokens")
        return self


Input = Annotated[ImageInput | AudioInput | TextInput, Field(discriminator="kind")]


class Encoder(_Card):
    """One side of a comparator: which file embeds it, and what that file is given."""

    modality: Modality
    file: FileName = "encoder.onnx"
    input: Input

    @model_validator(mode="before")
    @classmethod
    def _input_is_of_that_kind(cls, given: object) -> object:
        """Let `input` leave its kind to the modality."""
        if isinstance(given, dict) and isinstance(given.get("input"), dict):
            return given | {"input": {"kind": given.get("modality")} | given["input"]}
        return given

    @model_validator(mode="after")
    def _is_of_one_modality(self) -> Self:
        if self.input.kind != self.modality:
            raise ValueError(f"an encoder of {self.modality} cannot take {self.input.kind}")
        return self


class Head(_Card):
    """Distance → score: `sigmoid(bias - weight * distance)`; `head.onnx` computes the same.

    The weight is positive, so that a smaller distance is always a higher score and the order of
    the index is the order of the head.
    """

    file: FileName = "head.onnx"
    weight: float = Field(gt=0)
    bias: float


class OperatingPoint(_Card):
    """The lowest threshold whose false-match rate on held-out impostor pairs is at most `fmr`."""

    fmr: Rate
    threshold: Share
    fnmr: Share


class PosteriorModel(_Card):
    """The parameters of `index.PosteriorModel`, as `index.fit_posterior` gives them.

    Outside the fitted ranges of identities and mean samples the service answers `null`.
    """

    rule: Rule
    slope: float
    slope_by_samples: float
    nesting: float
    unknown: float
    by_samples: float
    by_likeness: float
    by_crowd: float
    by_spread: float
    identities: tuple[int, int]
    samples: tuple[float, float]
    bend: float = Field(0.0, validation_alias=AliasChoices("bend", "above_even"))
    highest: float | None = None


class GenuineScores(_Card):
    """What held-out identities score for their own probes, by how many samples they have.

    A few hundred quantiles of each are enough; `index.GenuineScores` tells how they are used.
    """

    rule: Rule
    by_samples: dict[int, tuple[Share, ...]]


class ClusterPurity(_Card):
    """Where clusters are cut to keep a purity, as `index.PurityLaw` has it."""

    purity: Rate
    log_odds: float
    by_clusters: float = Field(ge=0)
    clusters: tuple[int, int]


class RuleCalibration(_Card):
    """What a fusion rule's scores are worth; None where it was not measured."""

    genuine: GenuineScores | None = None
    posterior: PosteriorModel | None = None

    @field_validator("posterior", mode="before")
    @classmethod
    def _of_today(cls, given: object) -> object:
        """Take a posterior that went by the gallery's size, as bundles once had, for none."""
        return None if isinstance(given, dict) and "by_identities" in given else given


class Calibration(RuleCalibration):
    """What was chosen on held-out identities: the fusion rule, the cluster cut, the price.

    `others` are prices of other rules, for galleries that decide by one of these.
    """

    rule: Rule = "max"
    cluster_threshold: Share = 0.5
    cluster_purity: tuple[ClusterPurity, ...] = ()
    others: dict[Rule, RuleCalibration] = {}


class Metric(_Card):
    """A figure, with the protocol that tells how and on whom it was measured."""

    name: str
    value: float
    interval: tuple[float, float] | None = None
    protocol: str


class TrainingSource(_Card):
    """A data set that the comparator was trained on."""

    name: str
    licence: str
    source: str


class Provenance(_Card):
    """Where the weights come from: what was not recorded did not happen."""

    sources: tuple[TrainingSource, ...] = ()
    recipe: dict[str, object] = {}
    seed: int | None = None
    commit: str | None = None
    created: AwareDatetime | None = None


class Manifest(_Card):
    """All that the service needs to know of a bundle; its digest is the model's identity.

    `calibration` is of probes of side a, searched among references of side b; `calibration_b` is
    of the other direction, where the sides have encoders of their own.
    """

    schema_version: Literal[1] = 1
    name: Name
    version: Name
    description: str = ""
    licence: str
    encoders: dict[Side, Encoder]
    dimension: int = Field(ge=1, le=8192)
    normalised: bool
    distance: Distance
    head: Head
    operating_points: tuple[OperatingPoint, ...] = Field(min_length=1)
    calibration: Calibration = Calibration()
    calibration_b: Calibration | None = None
    metrics: tuple[Metric, ...] = ()
    provenance: Provenance = Provenance()
    files: dict[FileName, Sha256]

    @property
    def title(self) -> str:
        """`name@version`, as answers have it."""
        return f"{self.name}@{self.version}"

    @property
    def tied(self) -> bool:
        """Whether both sides share one encoder (a siamese comparator)."""
        return self.encoders["a"] == self.encoders["b"]

    def calibration_of(self, probes: Side) -> Calibration:
        """Return what was chosen for probes of a side; of one that was not measured, nothing."""
        if probes == "a" or self.tied:
            return self.calibration
        return self.calibration_b or Calibration()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if set(self.encoders) != {"a", "b"}:
            raise ValueError("encoders must name side a and side b")
        if self.distance == "cosine" and not self.normalised:
            raise ValueError("cosine distance needs normalised embeddings")
        named = {encoder.file for encoder in self.encoders.values()} | {self.head.file}
        inputs = [encoder.input for encoder in self.encoders.values()]
        named |= {spec.tokenizer for spec in inputs if isinstance(spec, TextInput)}
        if missing := sorted(named - set(self.files)):
            raise ValueError(f"files gives no digest of {', '.join(missing)}")
        return self


def parse_manifest(content: bytes) -> Manifest:
    """Return the manifest in the bytes of its file.

    Raises BundleRefused if they are not JSON, or not a manifest of this schema.
    """
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise BundleRefused(f"{MANIFEST_NAME}: {where}: {first['msg']}") from error
