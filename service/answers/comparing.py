"""Answers about samples alone: compared, embedded, grouped."""

from typing import Self

from pydantic import BaseModel

from models_store import Comparator
from service.answers import bands
from service.answers.failures import Failure
from service.answers.timed import Timed, milliseconds
from service.embedding.embedder import EmbeddedSamples
from service.use_cases.results import Partition, Verification


class VerifyAnswer(Timed):
    """Whether two samples are the same; `fmr` is the rate known for this threshold.

    Of a match, `certain` also reaches the strictest threshold that was measured. `score` and
    `distance` are null for a key of role `decide`.
    """

    comparator: str
    score: float | None
    distance: float | None
    match: bool
    band: bands.Band
    threshold: float
    target_fmr: float | None
    fmr: float | None

    @classmethod
    def of(cls, found: Verification, *, figures: bool = True) -> Self:
        """Shape a verification, with the figures that it rests on or without."""
        return cls(
            comparator=found.comparator.title,
            score=found.score if figures else None,
            distance=found.distance if figures else None,
            match=found.match,
            band=bands.of_pair(found),
            threshold=found.threshold,
            target_fmr=found.target_fmr,
            fmr=found.fmr,
            timings_ms=milliseconds(found.timings),
        )


class EmbedAnswer(Timed):
    """The vectors that search compares, one row an input, `null` where it failed."""

    comparator: str
    dimension: int
    embeddings: list[list[float] | None]
    failures: list[Failure]

    @classmethod
    def of(cls, comparator: Comparator, found: EmbeddedSamples) -> Self:
        """Shape embeddings: those that failed leave a `null`."""
        rows: list[list[float] | None] = [None] * (len(found.indices) + len(found.failures))
        for i, row in zip(found.indices, found.embeddings, strict=True):
            rows[i] = row.tolist()  # one by one, so that others go on in between
        return cls(
            comparator=comparator.title,
            dimension=comparator.manifest.dimension,
            embeddings=rows,
            failures=Failure.of(found.failures),
            timings_ms=milliseconds(found.timings),
        )


class ClusterOfSamples(BaseModel):
    """Members that belong together: upload indices, or sample ids of a gallery."""

    id: int
    size: int
    members: list[int] | list[str]
    medoid: int | str
    mean_score: float | None


class ClusterAnswer(Timed):
    """A partition of the samples; `labels` is null where a sample failed.

    `purity` is the share of samples that lay where most are of their identity, when clusters of
    held-out identities were cut like that; null unless a `target_purity` was asked for. It holds
    for samples of the kind that the comparator was measured on: where too few or too many clusters
    or pairs that look too much alike tell that these are not, it is refused.
    """

    comparator: str
    method: str
    threshold: float
    purity: float | None
    labels: list[int | None]
    clusters: list[ClusterOfSamples]
    failures: list[Failure]

    @classmethod
    def of(cls, found: Partition) -> Self:
        """Shape a clustering: samples that failed have no label."""
        labels: list[int | None] = list(found.clustering.labels)
        for i in sorted(found.failures):
            labels.insert(i, None)
        return cls(
            comparator=found.comparator.title,
            method=found.method,
            threshold=found.clustering.threshold,
            purity=found.purity,
            labels=labels,
            clusters=[
                ClusterOfSamples(
                    id=cluster.id,
                    size=cluster.size,
                    members=[found.names[i] for i in cluster.members],
                    medoid=found.names[cluster.medoid],
                    mean_score=cluster.mean_score,
                )
                for cluster in found.clustering.clusters
            ],
            failures=Failure.of(found.failures),
            timings_ms=milliseconds(found.timings),
        )
