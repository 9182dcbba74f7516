"""Two encoders: how well one side finds the other, and what that is worth in each direction."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Self

import numpy as np
import numpy.typing as npt

from evaluation.calibration import (
    CLUSTERED,
    GENUINE_QUANTILES,
    Calibrated,
    fit_head,
    operating_points,
    score_of,
)
from evaluation.cuts import best_cut, collections
from evaluation.intervals import ratio
from evaluation.pairs import Embedded, Pairs
from evaluation.report import Figure
from index.calibration import calibrate as worth_of_scores
from index.gallery import Embeddings, Reference, distances
from index.identification import Identifier
from index.numpy_gallery import NumpyGallery
from index.roster import Score
from models_store.manifest import Calibration, GenuineScores, Metric, PosteriorModel, Side

RANKS = (1, 5, 10)
FPIR = 0.05
ENROLLED, STRANGERS, COHORT, GALLERIES = 50, 50, 50, 20

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TwoSided:
    """Samples of the same identities on both sides, compared across by cosine.

    `drawers` of a side tell which kind of sample each is, such as caption or style: every
    identity has one of each kind.
    """

    a: Embedded
    b: Embedded

    @classmethod
    def of(
        cls,
        a: Embeddings,
        b: Embeddings,
        kinds_a: tuple[str, ...],
        kinds_b: tuple[str, ...],
        score: Score = np.negative,
    ) -> Self:
        """Return embeddings (n · kinds, d) of n identities, one after the other."""
        return cls(_embedded(a, kinds_a, score), _embedded(b, kinds_b, score))

    def scored(self, score: Score) -> Self:
        """Return the same samples with another score."""
        return replace(self, a=replace(self.a, score=score), b=replace(self.b, score=score))

    def only(self, identities: Flags) -> Self:
        """Return the chosen identities (n,), renumbered."""
        return replace(
            self,
            a=self.a.only(identities[self.a.labels]),
            b=self.b.only(identities[self.b.labels]),
        )

    @property
    def together(self) -> Embedded:
        """Samples of both sides, a's and then b's, each to be compared with the other side's."""
        a, b = self.a, self.b
        return replace(
            a,
            embeddings=np.concatenate([a.embeddings, b.embeddings]),
            labels=np.concatenate([a.labels, b.labels]),
            groups=np.concatenate([a.groups, b.groups]),
            drawers=np.concatenate([a.drawers, b.drawers]),
            of_b=np.repeat([False, True], [len(a.labels), len(b.labels)]),
        )

    def facing(self, probes: Side) -> tuple[Embedded, Embedded]:
        """Return probes and references, where those are of this side and these of the other."""
        return (self.a, self.b) if probes == "a" else (self.b, self.a)


def across(samples: TwoSided) -> Pairs:
    """Return the scores of all pairs of a sample of a with one of b."""
    a, b = samples.a, samples.b
    scores = a.score(distances(a.embeddings, b.embeddings, a.metric).astype(np.float64))
    same = a.labels[:, None] == b.labels
    found = scores.astype(np.float32)
    return Pairs(np.sort(found[same]), np.sort(found[~same]))


def calibrate_two_sided(samples: TwoSided, seed: int) -> Calibrated:
    """Return what held-out identities say of pairs across the sides, and of each direction.

    Identities score by their best sample. Samples of one side are clustered with each other, and
    that cut is of that side. Raises ValueError if impostor pairs are no further apart than genuine
    ones.
    """
    head = fit_head(across(samples))
    scored = samples.scored(score_of(head))
    return Calibrated(
        head,
        operating_points(across(scored)),
        of_direction(scored, "a", seed),
        of_direction(scored, "b", seed),
    )


def of_direction(scored: TwoSided, probes: Side, seed: int) -> Calibration:
    """Return what probes of a side are worth in galleries of the other, and that side's cut."""
    asking, asked = scored.facing(probes)
    random = np.random.default_rng(seed)
    chosen = Calibration(
        rule="max",
        genuine=_genuine(asking, asked, random),
        posterior=_posterior(asking, asked, seed),
    )
    if len(np.unique(asking.drawers)) == 1:
        return chosen  # one sample of each: nothing of that side belongs together
    drawn = collections(asking, random, draws=2, items=CLUSTERED)
    cut = best_cut(asking, [rows for each in drawn for rows in each])
    return chosen.model_copy(update={"cluster_threshold": cut})


def recall(
    samples: TwoSided,
    probes: Side,
    rank: int,
    seed: int,
    kinds: tuple[str, ...] | None = None,
) -> Figure:
    """Return how often a probe's own identity is among the first `rank` of the other side.

    The gallery has one sample of each identity, all of one kind, such as one style; every kind is
    searched by each of the probes' `kinds` (None: all). A tie counts as lost. Intervals are over
    identities drawn anew, as probes.
    """
    asking, asked = samples.facing(probes)
    n = asking.identities
    hits, trials = np.zeros((2, n))
    for kind in kinds or tuple(np.unique(asking.drawers)):
        rows = _of_kind(asking, kind)
        for style in np.unique(asked.drawers):
            far = distances(
                asking.embeddings[rows],
                asked.embeddings[_of_kind(asked, style)],
                asking.metric,
            )  # (n, n)
            ahead = (far <= np.diag(far)[:, None]).sum(axis=1) - 1
            hits += ahead < rank
            trials += 1
    told = " and ".join(kinds or np.unique(asking.drawers).tolist())
    among = " and ".join(np.unique(asked.drawers).tolist())
    return ratio(
        hits, trials, seed, f"{told} of {n} identities, among {n} of {among}, one of each identity"
    )


def recalls(
    samples: TwoSided, seed: int, kinds_a: tuple[str, ...] | None = None
) -> Iterator[Metric]:
    """Yield recall at 1, 5 and 10 in both directions, between b and `kinds_a` of a."""
    chosen = (
        np.isin(samples.a.drawers, kinds_a) if kinds_a else np.ones(len(samples.a.labels), "?")
    )
    only = replace(samples, a=samples.a.only(chosen))
    for probes, name in (("a", "a→b"), ("b", "b→a")):
        for rank in RANKS:
            figure = recall(only, "a" if probes == "a" else "b", rank, seed)
            if figure.value is not None:
                yield _metric(f"recall@{rank} {name}", figure)


def open_set(samples: TwoSided, seed: int, galleries: int = GALLERIES) -> Iterator[Metric]:
    """Yield who is named, and who is missed, where 5 % of strangers may be: both directions.

    Galleries of 50 identities with all their references, judged as they are served by a cohort of
    identities that are neither enrolled nor probed. Nothing is yielded where these are too few.
    """
    n = samples.a.identities
    if n < ENROLLED + STRANGERS + COHORT:
        return
    sides: tuple[Side, Side] = ("a", "b")
    for probes in sides:
        asking, asked = samples.facing(probes)
        random = np.random.default_rng(seed)
        named, strange, missed, mated = np.zeros((4, n))
        for _ in range(galleries):
            drawn = random.permutation(n)
            enrolled, outside = drawn[:ENROLLED], drawn[ENROLLED : ENROLLED + STRANGERS]
            judges = strangers(asking)[drawn[ENROLLED + STRANGERS :]]
            gallery = Identifier(
                partial(NumpyGallery, asked.embeddings.shape[1], asked.metric),
                asked.score,
                judges,
                own_trials=False,
            )
            rows = np.flatnonzero(np.isin(asked.labels, enrolled))
            owners = [Reference(int(row), str(asked.labels[row])) for row in rows]
            gallery.enroll(owners, asked.embeddings[rows])
            for whose, wrong, tried in ((outside, named, strange), (enrolled, missed, mated)):
                of_them = np.flatnonzero(np.isin(asking.labels, whose))
                answers = gallery.identify(
                    asking.embeddings[of_them], target_fpir=FPIR, top=1, k=1
                )
                for label, answer in zip(asking.labels[of_them], answers, strict=True):
                    tried[label] += 1
                    if whose is outside:
                        wrong[label] += answer.identity is not None
                    else:
                        wrong[label] += answer.identity != str(label)
        told = (
            f"{galleries} galleries of {ENROLLED} of {n} identities, {STRANGERS} strangers, "
            f"{n - ENROLLED - STRANGERS} in the cohort"
        )
        direction = "a→b" if probes == "a" else "b→a"
        for name, hits, tried in (("fpir", named, strange), ("fnir", missed, mated)):
            yield _metric(f"{name}@fpir=0.05 {direction}", ratio(hits, tried, seed, told))


def strangers(embedded: Embedded) -> Embeddings:
    """Return one embedding (n, d) of each identity, of the kinds in turn."""
    rows = [np.flatnonzero(embedded.labels == i) for i in range(embedded.identities)]
    return embedded.embeddings[[own[i % len(own)] for i, own in enumerate(rows)]]


def _metric(name: str, figure: Figure) -> Metric:
    if figure.value is None:
        raise ValueError(f"{name} has no value: {figure.too_few}")
    return Metric(name=name, value=figure.value, interval=figure.interval, protocol=figure.counted)


def _embedded(embeddings: Embeddings, kinds: tuple[str, ...], score: Score) -> Embedded:
    n = len(embeddings) // len(kinds)
    labels = np.repeat(np.arange(n), len(kinds))
    return Embedded(
        embeddings, labels, np.zeros_like(labels), np.tile(np.array(kinds), n), "cosine", score
    )


def _of_kind(embedded: Embedded, kind: str) -> npt.NDArray[np.int64]:
    """Return the row of each identity's sample of that kind, (n,)."""
    rows = np.flatnonzero(embedded.drawers == kind)
    return rows[np.argsort(embedded.labels[rows], kind="stable")]


def _posterior(asking: Embedded, asked: Embedded, seed: int) -> PosteriorModel | None:
    """Return what `worth_of_scores` fits; nothing where the identities are too few."""
    try:
        posterior, _ = worth_of_scores(
            asked.embeddings,
            [str(label) for label in asked.labels],
            asked.score,
            metric=asked.metric,
            probes=(asking.embeddings, [str(label) for label in asking.labels]),
            seed=seed,
        )
    except ValueError:
        return None
    return PosteriorModel.model_validate(asdict(posterior))


def _genuine(asking: Embedded, asked: Embedded, random: np.random.Generator) -> GenuineScores:
    """Return what identities score for their own probes, by how many references they have."""
    scores = asking.score(
        distances(asking.embeddings, asked.embeddings, asking.metric).astype(np.float64)
    )
    levels = np.linspace(0, 1, GENUINE_QUANTILES)
    own = [scores[asking.labels == i][:, asked.labels == i] for i in range(asking.identities)]
    most = min(each.shape[1] for each in own)
    by_samples = {}
    for count in range(1, most + 1):
        best = [each[:, random.permutation(each.shape[1])[:count]].max(axis=1) for each in own]
        by_samples[count] = tuple(np.quantile(np.concatenate(best), levels).tolist())
    return GenuineScores(rule="max", by_samples=by_samples)
