"""Open-set trials: some identities enrolled, others strangers, the served decision on both."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from evaluation.pairs import Embedded
from evaluation.report import Side, Strangers
from index.gallery import Embeddings, Reference
from index.identification import Identifier
from index.miss_rate import GenuineScores
from index.numpy_gallery import NumpyGallery
from index.posterior import PosteriorModel
from index.roster import Roster, Rule

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

PROBES_EACH = 5
FEWEST_COHORT, FEWEST_STRANGERS = 19, 5
MOST_COHORT, MOST_STRANGERS = 400, 300  # identities


@dataclass(frozen=True, slots=True)
class Trial:
    """Rows of one simulated gallery: its references, and probes of the enrolled and of strangers.

    `cohort` holds a row of each cohort identity; no identity has two of the roles. `outside` are
    the comparator's own strangers (m, d), where these are the cohort. `cohort_groups` (m,) are
    those of the cohort, where it is judged by them. Of two encoders the references are of one
    side, all others of the other, and there are no own trials.
    """

    embedded: Embedded
    references: Rows
    mated: Rows
    strangers: Rows
    cohort: Rows
    outside: Embeddings | None = None
    cohort_groups: Rows | None = None
    own_trials: bool = True

    @property
    def probes(self) -> Rows:
        """The strangers' rows and then the mated ones."""
        return np.concatenate([self.strangers, self.mated])

    @property
    def cohort_embeddings(self) -> Embeddings:
        """Whom the gallery's threshold rests on (m, d)."""
        return self.embedded.embeddings[self.cohort] if self.outside is None else self.outside

    def identifier(
        self,
        rule: Rule,
        posterior: PosteriorModel | None = None,
        genuine: GenuineScores | None = None,
    ) -> Identifier:
        """Return the gallery as it is served."""
        e = self.embedded
        identifier = Identifier(
            partial(NumpyGallery, e.embeddings.shape[1], e.metric),
            e.score,
            self.cohort_embeddings,
            cohort_groups=self.cohort_groups,
            rule=rule,
            posterior=posterior,
            genuine=genuine,
            own_trials=self.own_trials,
        )
        identifier.enroll(self._references(), e.embeddings[self.references])
        return identifier

    def roster(self, rule: Rule) -> Roster:
        """Return the gallery without what its decisions rest on."""
        e = self.embedded
        roster = Roster(partial(NumpyGallery, e.embeddings.shape[1], e.metric), e.score)
        roster.enroll(self._references(), e.embeddings[self.references])
        if rule == "centroid":
            roster.keep_centroids()
        return roster

    def errors(
        self,
        rule: Rule = "max",
        *,
        target_fpir: float | None = None,
        threshold: float | None = None,
    ) -> tuple[Flags, Flags]:
        """Return which strangers are named, and which mated probes are not named rightly."""
        e, probes = self.embedded, self.probes
        answers = self.identifier(rule).identify(
            e.embeddings[probes], target_fpir=target_fpir, threshold=threshold, top=1, k=1
        )
        named = [answer.identity for answer in answers]
        right = [name == str(e.labels[row]) for name, row in zip(named, probes, strict=True)]
        split = len(self.strangers)
        return np.array([name is not None for name in named[:split]]), ~np.array(right[split:])

    def _references(self) -> list[Reference]:
        return [Reference(int(row), str(self.embedded.labels[row])) for row in self.references]


def draw_trial(
    embedded: Embedded,
    enrolled: int,
    strangers: Strangers,
    random: np.random.Generator,
    samples: int = 1,
    outside: Embeddings | None = None,
    *,
    by_group: bool = False,
    outside_groups: Rows | None = None,
    probes: Side | None = None,
) -> Trial | None:
    """Return a trial, or None if there are too few identities for it.

    The cohort is a third of the identities, at most 400: with `like-cohort` strangers drawn at
    random; with `kin` strangers whole groups, so that the strangers come from the groups of the
    enrolled and the cohort does not; with `one-group` strangers the enrolled and they are of one
    group, of which the cohort has its share. `as-served` takes `outside` for it. `by_group` judges
    by the groups of the cohort, which of `outside` are `outside_groups` (m,). Too few is a cohort
    that resolves no FPIR of 5 %, or fewer than five strangers, or not so many identities with
    more than `samples` samples. Of two encoders `probes` is the side that asks: `samples` of the
    other are enrolled, and who has none of the asking side takes no part.
    """
    e = embedded
    may_ask, to_enroll = able(e, samples, probes)
    order = random.permutation(e.identities)
    order = order[may_ask[order]]
    if not len(order):
        return None
    if strangers == "kin":
        group_order = random.permutation(int(e.groups.max()) + 1)
        order = order[np.argsort(group_order[e.group_of[order]], kind="stable")]
    third = 0 if strangers == "as-served" else len(order) // 3
    cohort, rest = order[: min(third, MOST_COHORT)], random.permutation(order[third:])
    if strangers == "kin":  # a group cut in two is left to neither side
        rest = rest[e.group_of[rest] != e.group_of[order[third]]]
    if strangers == "one-group":
        rest = rest[e.group_of[rest] == random.integers(int(e.groups.max()) + 1)]
    drawn = rest[to_enroll[rest]][:enrolled]
    others = rest[~np.isin(rest, drawn)][:MOST_STRANGERS]
    judges = len(cohort) if outside is None else len(outside)
    if judges < FEWEST_COHORT or len(drawn) < enrolled or len(others) < FEWEST_STRANGERS:
        return None
    rows = _shuffled_rows(e, random)
    asked, asking, first = rows, rows, samples
    if e.of_b is not None:  # nobody is probed by what is enrolled anyway
        is_asking = e.of_b == (probes == "b")
        asked, asking = ([own[is_asking[own] == side] for own in rows] for side in (False, True))
        first = 0
    by_group_of = e.group_of[cohort] if by_group else None
    few = slice(first, first + PROBES_EACH)
    return Trial(
        e,
        references=np.concatenate([asked[i][:samples] for i in drawn]),
        mated=np.concatenate([asking[i][few] for i in drawn]),
        strangers=np.concatenate([asking[i][:PROBES_EACH] for i in others]),
        cohort=np.array([asking[i][0] for i in cohort], np.int64),
        outside=outside,
        cohort_groups=outside_groups if outside is not None else by_group_of,
        own_trials=e.of_b is None,
    )


def able(e: Embedded, samples: int, probes: Side | None) -> tuple[Flags, Flags]:
    """Return which identities (n,) may ask, and which of them may be enrolled and then ask."""
    if e.of_b is None:
        count = np.bincount(e.labels)
        return count > 0, count > samples
    asking = e.counts(of_b=probes == "b")
    return asking > 0, (asking > 0) & (e.counts(of_b=probes != "b") >= samples)


def _shuffled_rows(embedded: Embedded, random: np.random.Generator) -> list[Rows]:
    """Return each identity's rows in random order."""
    order = random.permutation(len(embedded.labels))
    order = order[np.argsort(embedded.labels[order], kind="stable")]
    return np.split(order, np.cumsum(np.bincount(embedded.labels))[:-1])
