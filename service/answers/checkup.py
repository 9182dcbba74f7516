"""What seems wrong with a gallery, with the evidence."""

from typing import Self

from pydantic import BaseModel

from service.answers.timed import Timed, milliseconds
from service.use_cases.results import Checkup


class MislabelledSample(BaseModel):
    """A sample that seems to be of `rather`; scores are with the centroids of the two.

    `probability` is that its name is wrong, and `likely` that this is at least a half.
    """

    id: str
    identity: str
    score: float
    rather: str
    rather_score: float
    probability: float
    likely: bool


class DuplicateIdentities(BaseModel):
    """Two identities that seem to be one, with the two `samples` nearest to the other's centroid.

    `gap` is how much nearer, by mean distance, their samples are to the other than to their own
    others. `p_value` is the share of this gallery's identities that, cut in two, look no more
    like one, and `probability` that they are one, given how many pairs come nearly as close.
    From a half on they are `likely` so. Two identities that truly look the same are listed too.
    """

    identities: tuple[str, str]
    score: float
    gap: float
    p_value: float
    probability: float
    likely: bool
    samples: tuple[str, str]


class HubIdentity(BaseModel):
    """An identity that is the nearest other of more identities than chance makes it."""

    identity: str
    nearest_to: list[str]
    mean_score: float
    q_value: float


class GoatIdentity(BaseModel):
    """An identity more of whose samples (`missed`) are nearer to somebody else than is usual."""

    identity: str
    samples: int
    missed: list[str]
    score: float
    q_value: float


class FewSamples(BaseModel):
    """An identity with fewer samples than asked for."""

    identity: str
    samples: int


class GalleryHealth(Timed):
    """What seems wrong with a gallery: suggestions, each list sorted by how sure it is.

    Below 20 identities of two samples the first three lists are null: too few to say.
    `wrong_names` is the share of names estimated to be wrong. A `q_value` bounds the share that
    is listed by chance, if all up to it are taken. Where the comparator has two encoders, what is
    enrolled is not compared with its own kind: then `hubs` is null too, and `reason` says so.
    """

    gallery: str
    comparator: str
    version: int
    identities: int
    samples: int
    judged_identities: int
    wrong_names: float | None
    mislabelled: list[MislabelledSample] | None
    duplicates: list[DuplicateIdentities] | None
    goats: list[GoatIdentity] | None
    hubs: list[HubIdentity] | None
    few_samples: list[FewSamples]
    reason: str | None

    @classmethod
    def of(cls, found: Checkup) -> Self:
        """Shape a check-up."""
        health = found.health
        return cls(
            gallery=found.replica.name,
            comparator=found.replica.comparator.title,
            version=found.version,
            identities=health.identities,
            samples=health.samples,
            judged_identities=health.judged,
            wrong_names=health.noise,
            mislabelled=None
            if health.mislabelled is None
            else [
                MislabelledSample(
                    id=str(each.key),
                    identity=each.identity,
                    score=each.score,
                    rather=each.rather,
                    rather_score=each.rather_score,
                    probability=each.probability,
                    likely=each.likely,
                )
                for each in health.mislabelled
            ],
            duplicates=None
            if health.duplicates is None
            else [
                DuplicateIdentities(
                    identities=each.identities,
                    score=each.score,
                    gap=each.gap,
                    p_value=each.p_value,
                    probability=each.probability,
                    likely=each.likely,
                    samples=(str(each.nearest[0]), str(each.nearest[1])),
                )
                for each in health.duplicates
            ],
            goats=None
            if health.goats is None
            else [
                GoatIdentity(
                    identity=each.identity,
                    samples=each.samples,
                    missed=[str(key) for key in each.missed],
                    score=each.score,
                    q_value=each.q_value,
                )
                for each in health.goats
            ],
            hubs=None
            if health.hubs is None
            else [
                HubIdentity(
                    identity=each.identity,
                    nearest_to=list(each.nearest_to),
                    mean_score=each.mean_score,
                    q_value=each.q_value,
                )
                for each in health.hubs
            ],
            few_samples=[FewSamples(identity=name, samples=m) for name, m in health.few],
            reason=_why_unjudged(found),
            timings_ms=milliseconds(found.timings),
        )


def _why_unjudged(found: Checkup) -> str | None:
    comparator = found.replica.comparator
    if comparator.manifest.tied:
        return None
    return (
        f"{comparator.title} compares across two encoders: what one of them embeds is not "
        "compared with each other"
    )
