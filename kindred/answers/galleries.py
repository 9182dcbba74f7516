"""What galleries, and who is enrolled in them, are answered with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from kindred.answers.deciding import Failure

Side = Literal["a", "b"]


@dataclass(frozen=True, slots=True)
class GalleryAnswer:
    """A gallery: what it was made with, and its size at `version`."""

    name: str
    comparator: str
    digest: str
    rule: str
    target_fpir: float
    prior_known: float | None
    keep_samples: bool
    references: Side
    probes: Side
    modalities: Mapping[str, str]
    cohort: Literal["bundle", "gallery"]
    cohort_identities: int
    identities: int
    samples: int
    version: int
    created: datetime


@dataclass(frozen=True, slots=True)
class GalleriesAnswer:
    """Every gallery that the key reaches."""

    galleries: tuple[GalleryAnswer, ...]


@dataclass(frozen=True, slots=True)
class GalleryDeleted:
    """A gallery that is no more."""

    gallery: str


@dataclass(frozen=True, slots=True)
class StoredSample:
    """One enrolled sample."""

    id: str
    created: datetime


@dataclass(frozen=True, slots=True)
class IdentityAnswer:
    """An identity and what is enrolled of it."""

    identity: str
    metadata: Mapping[str, Any]
    samples: tuple[StoredSample, ...]


@dataclass(frozen=True, slots=True)
class IdentitiesAnswer:
    """A page of identities; `next` is the `after` of the next page, None on the last."""

    items: tuple[IdentityAnswer, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A deletion that is durable as of `version`; `receipt` is where its bytes are told of."""

    version: int
    receipt: str


@dataclass(frozen=True, slots=True)
class ErasedFrom:
    """Where no byte is left of what was taken away."""

    record: bool
    idempotency_copies: bool
    index: bool
    snapshot: bool
    append_only_file: bool


@dataclass(frozen=True, slots=True)
class ReceiptAnswer:
    """How far a deletion is: `complete` once nothing is left anywhere."""

    gallery: str
    version: int
    complete: bool
    erased_from: ErasedFrom


@dataclass(frozen=True, slots=True)
class LookAlike:
    """A stranger, sent at `index`, who would be named as somebody enrolled."""

    index: int
    identity: str
    score: float
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Repeat:
    """A stranger, sent at `index`, with the embedding of another, sent at `same_as`."""

    index: int
    same_as: int


@dataclass(frozen=True, slots=True)
class CohortAnswer:
    """Uploaded strangers, in force as of `version`, and what is odd about them."""

    gallery: str
    cohort_identities: int
    version: int
    look_alikes: tuple[LookAlike, ...] | None
    repeats: tuple[Repeat, ...]
    warnings: tuple[str, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class TargetPoint:
    """What `identify` answers at this target now; `threshold` is None where it is unresolved.

    `strangers_needed` could resolve it.
    """

    target_fpir: float
    threshold: float | None
    fpir_interval: tuple[float, ...] | None
    expected_fnir: float | None
    fnir_interval: tuple[float, ...] | None
    expected_fnir_reason: str | None
    strangers_needed: int | None


@dataclass(frozen=True, slots=True)
class OperatingCurveAnswer:
    """Points by rising target, at `version` of the gallery, and what they rest on."""

    gallery: str
    comparator: str
    version: int
    identities: int
    rule: str
    target_fpir: float
    source: Literal["bundle", "gallery"]
    holds_for: Literal["like-cohort", "kin"]
    cohort_identities: int
    own_trials: int
    genuine_trials: int
    kinship: float
    resolvable_from: float
    points: tuple[TargetPoint, ...]
    timings_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class EnrolledTrial:
    """An enrolled sample as if it were a probe and not enrolled, its identity having others."""

    identity: str
    sample: str
    score: float
    rival: str | None
    rival_score: float | None
    outcome: Literal["own", "another", "unknown", "alone"]


@dataclass(frozen=True, slots=True)
class StrangerTrial:
    """A stranger, and who of the enrolled comes `nearest`, with that score.

    Either the `stranger`-th of the cohort, from 0, or an enrolled sample that stands for one.
    """

    stranger: int | None
    identity: str | None
    sample: str | None
    score: float
    nearest: str
    outcome: Literal["match", "unknown"]


@dataclass(frozen=True, slots=True)
class EnrolledSides:
    """The enrolled nearest to the threshold: that reach it, and that do not; of all `tried`."""

    above: tuple[EnrolledTrial, ...]
    below: tuple[EnrolledTrial, ...]
    tried: int


@dataclass(frozen=True, slots=True)
class StrangerSides:
    """The strangers nearest to the threshold: that reach it, and that do not; of all `tried`."""

    above: tuple[StrangerTrial, ...]
    below: tuple[StrangerTrial, ...]
    tried: int


@dataclass(frozen=True, slots=True)
class BoundaryAnswer:
    """Whom the threshold of a target divides by the least, nearest first, at `version`."""

    gallery: str
    comparator: str
    version: int
    rule: str
    target_fpir: float
    threshold: float | None
    source: Literal["bundle", "gallery"]
    enrolled: EnrolledSides
    strangers: StrangerSides
    timings_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class MapAnswer:
    """The samples shown, a column for each thing that is told of them, by rising id.

    `x` and `y` lie between -1 and 1, `links` are pairs of places with their score. While
    `progress` is below 1, columns may be None and the layout that of the principal plane.
    """

    gallery: str
    comparator: str
    version: int
    rule: str
    target_fpir: float
    threshold: float | None
    enrolled_identities: int
    enrolled_samples: int
    layout: Literal["pca", "tsne"]
    progress: float
    reason: str | None
    samples: tuple[str, ...]
    identities: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    clusters: tuple[int, ...] | None
    outcomes: tuple[Literal["own", "another", "unknown", "alone"], ...] | None
    links: tuple[tuple[int, int, float], ...] | None
    linked: int | None


@dataclass(frozen=True, slots=True)
class MislabelledSample:
    """A sample that seems to be of `rather`; scores are with the centroids of the two."""

    id: str
    identity: str
    score: float
    rather: str
    rather_score: float
    probability: float
    likely: bool


@dataclass(frozen=True, slots=True)
class DuplicateIdentities:
    """Two identities that seem to be one, and the two samples that tell it best."""

    identities: tuple[str, ...]
    score: float
    gap: float
    p_value: float
    probability: float
    likely: bool
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GoatIdentity:
    """An identity more of whose samples are nearer to somebody else than is usual."""

    identity: str
    samples: int
    missed: tuple[str, ...]
    score: float
    q_value: float


@dataclass(frozen=True, slots=True)
class HubIdentity:
    """An identity that is the nearest other of more identities than chance makes it."""

    identity: str
    nearest_to: tuple[str, ...]
    mean_score: float
    q_value: float


@dataclass(frozen=True, slots=True)
class FewSamples:
    """An identity with fewer samples than asked for."""

    identity: str
    samples: int


@dataclass(frozen=True, slots=True)
class GalleryHealth:
    """What seems wrong with a gallery; a list is None where there is too little to say."""

    gallery: str
    comparator: str
    version: int
    identities: int
    samples: int
    judged_identities: int
    wrong_names: float | None
    mislabelled: tuple[MislabelledSample, ...] | None
    duplicates: tuple[DuplicateIdentities, ...] | None
    goats: tuple[GoatIdentity, ...] | None
    hubs: tuple[HubIdentity, ...] | None
    few_samples: tuple[FewSamples, ...]
    reason: str | None
    timings_ms: Mapping[str, float]
