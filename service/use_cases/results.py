"""What the use cases found, for answers to tell."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from index import (
    Boundary,
    Clustering,
    Embeddings,
    Health,
    Identification,
    OddStrangers,
    OperatingCurve,
)
from models_store import Comparator
from service.embedding.embedder import EmbeddedSamples, Timings
from service.replicas.replica import Replica
from service.store.kept import Change, EnrolledSample

Method = Literal["linkage", "leader"]


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether two samples are the same; rates are None where no calibration tells them."""

    comparator: Comparator
    score: float
    distance: float
    match: bool
    threshold: float
    target_fmr: float | None
    fmr: float | None
    timings: Timings


class Enrollments(NamedTuple):
    """What became of an enrollment: `samples[i]` is the one sent at `indices[i]`.

    `searched` is whether somebody else was looked for who would be named by them.
    """

    version: int
    indices: list[int]
    samples: tuple[EnrolledSample, ...]
    failures: dict[int, Exception]
    warnings: list[str]
    timings: Timings
    searched: bool = True


@dataclass(frozen=True, slots=True)
class Identifications:
    """Decisions on probes: `results[i]` is on the one sent at `indices[i]`."""

    replica: Replica
    version: int
    identities: int
    indices: list[int]
    results: list[Identification]
    embeddings: Embeddings  # (n, d) of the probes
    failures: dict[int, Exception]
    timings: Timings

    def slices(self, size: int) -> Iterator["Identifications"]:
        """Yield the decisions so many at a time."""
        for start in range(0, len(self.results), size):
            some = slice(start, start + size)
            yield replace(
                self,
                indices=self.indices[some],
                results=self.results[some],
                embeddings=self.embeddings[some],
            )


@dataclass(frozen=True, slots=True)
class Partition:
    """A clustering; `names[i]` is what the i-th clustered sample is called.

    `purity` is what the cut keeps on held-out identities, where it was chosen by that.
    """

    comparator: Comparator
    method: Method
    purity: float | None
    clustering: Clustering
    names: list[int] | list[str]
    failures: dict[int, Exception]
    timings: Timings


@dataclass(frozen=True, slots=True)
class Checkup:
    """What seems wrong with a gallery, at `version`."""

    replica: Replica
    version: int
    health: Health
    timings: Timings


@dataclass(frozen=True, slots=True)
class Operation:
    """What each target would take and cost in a gallery, at `version`."""

    replica: Replica
    version: int
    identities: int
    target_fpir: float
    curve: OperatingCurve
    timings: Timings


@dataclass(frozen=True, slots=True)
class Division:
    """Who comes nearest to a threshold in a gallery, at `version`."""

    replica: Replica
    version: int
    boundary: Boundary
    timings: Timings


@dataclass(frozen=True, slots=True)
class NewCohort:
    """Strangers put in force, `samples`, and what was odd about them.

    `firsts[row]` is the index in `samples` of the sample that stands for a stranger: `odd` counts
    by these rows. `warnings` say it in words.
    """

    change: Change
    samples: EmbeddedSamples
    firsts: list[int]
    odd: OddStrangers
    warnings: list[str]
