"""Open-set trials: some identities enrolled, others strangers, the served decision on both."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from evaluation.pairs import Embedded, Labels, all_pairs
from index.gallery import Reference
from index.identification import Identifier
from index.numpy_gallery import NumpyGallery
from index.roster import Rule

Strangers = Literal["like-cohort", "kin"]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

PROBES_EACH = 5
FEWEST_COHORT, FEWEST_STRANGERS = 19, 5


@dataclass(frozen=True, slots=True)
class Trial:
    """Rows of one simulated gallery: its references, and probes of the enrolled and of strangers.

    `cohort` holds a row of each cohort identity; no identity has two of the roles.
    """

    embedded: Embedded
    references: Rows
    mated: Rows
    strangers: Rows
    cohort: Rows

    def errors(
        self,
        rule: Rule = "max",
        *,
        target_fpir: float | None = None,
        threshold: float | None = None,
    ) -> tuple[Flags, Flags]:
        """Return which strangers are named, and which mated probes are not named rightly."""
        e = self.embedded
        identifier = Identifier(
            partial(NumpyGallery, e.embeddings.shape[1], e.metric),
            e.score,
            e.embeddings[self.cohort],
            rule=rule,
        )
        identifier.enroll(
            [Reference(int(row), str(e.labels[row])) for row in self.references],
            e.embeddings[self.references],
        )
        probes = np.concatenate([self.strangers, self.mated])
        answers = identifier.identify(
            e.embeddings[probes], target_fpir=target_fpir, threshold=threshold, top=1, k=1
        )
        named = [answer.identity for answer in answers]
        right = [name == str(e.labels[row]) for name, row in zip(named, probes, strict=True)]
        split = len(self.strangers)
        return np.array([name is not None for name in named[:split]]), ~np.array(right[split:])


def draw_trial(
    embedded: Embedded,
    enrolled: int,
    strangers: Strangers,
    random: np.random.Generator,
    samples: int = 1,
) -> Trial | None:
    """Return a trial with a third of the identities as the cohort, or None if there are too few.

    With `like-cohort` strangers the third is drawn at random; with `kin` it is whole groups, so
    that the strangers come from the groups of the enrolled and the cohort does not. Too few is
    a cohort that resolves no FPIR of 5 %, or fewer than five strangers.
    """
    e = embedded
    order = random.permutation(e.identities)
    if strangers == "kin":
        group_order = random.permutation(int(e.groups.max()) + 1)
        order = order[np.argsort(group_order[e.group_of[order]], kind="stable")]
    third = e.identities // 3
    cohort, rest = order[:third], random.permutation(order[third:])
    if strangers == "kin":  # a group cut in two is left to neither side
        cut = e.group_of[order[third]]
        rest = rest[e.group_of[rest] != cut]
    if third < FEWEST_COHORT or len(rest) < enrolled + FEWEST_STRANGERS:
        return None
    rows = _shuffled_rows(e, random)
    few = slice(samples, samples + PROBES_EACH)
    return Trial(
        e,
        references=np.concatenate([rows[i][:samples] for i in rest[:enrolled]]),
        mated=np.concatenate([rows[i][few] for i in rest[:enrolled]]),
        strangers=np.concatenate([rows[i][few] for i in rest[enrolled:]]),
        cohort=np.array([rows[i][0] for i in cohort]),
    )


def pair_threshold(embedded: Embedded, identities: Labels, fmr: float) -> float:
    """Return the threshold of this FMR over all pairs of some identities' samples."""
    rows = np.isin(embedded.labels, identities)
    return all_pairs(embedded.only(rows)).threshold_at(fmr)


def _shuffled_rows(embedded: Embedded, random: np.random.Generator) -> list[Rows]:
    """Return each identity's rows in random order."""
    order = random.permutation(len(embedded.labels))
    order = order[np.argsort(embedded.labels[order], kind="stable")]
    return np.split(order, np.cumsum(np.bincount(embedded.labels))[:-1])
