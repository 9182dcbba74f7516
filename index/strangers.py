"""What is odd about strangers: that they are enrolled, it seems, or there twice."""

from dataclasses import dataclass

import numpy as np
import scipy

from index.cohort import TargetUnresolvable
from index.gallery import Embeddings
from index.identification import Identifier


@dataclass(frozen=True, slots=True)
class LookAlike:
    """A stranger, by row, who would be named; `identity` is whose name it would be."""

    row: int
    identity: str
    score: float
    p_value: float | None


@dataclass(frozen=True, slots=True)
class OddStrangers:
    """Strangers that may be none, as the gallery judges them now.

    `look_alikes` are those named at `target_fpir`, surest first: of true strangers that share is
    named by chance, and `chance` is the probability that as many are. None where the gallery's
    evidence does not resolve that target. `repeats` are pairs of rows with one embedding.
    """

    look_alikes: tuple[LookAlike, ...] | None
    chance: float | None
    repeats: tuple[tuple[int, int], ...]


def odd_strangers(
    identifier: Identifier, strangers: Embeddings, target_fpir: float
) -> OddStrangers:
    """Return what is odd about one embedding (m, d) of each of m strangers."""
    _, firsts, same = np.unique(strangers, axis=0, return_index=True, return_inverse=True)
    places = enumerate(firsts[same.ravel()].tolist())
    repeats = tuple((row, other) for row, other in places if row != other)
    try:
        results = identifier.identify(strangers, target_fpir=target_fpir, top=1, k=1)
    except TargetUnresolvable:
        return OddStrangers(None, None, repeats)
    named = [
        LookAlike(row, result.identity, result.score, result.p_value)
        for row, result in enumerate(results)
        if result.identity is not None and result.score is not None
    ]
    return OddStrangers(
        look_alikes=tuple(sorted(named, key=lambda each: (-each.score, each.row))),
        chance=as_many_by_chance(len(named), len(strangers), target_fpir),
        repeats=repeats,
    )


def as_many_by_chance(named: int, strangers: int, fpir: float) -> float:
    """Return the probability that of so many strangers as many as are `named` are, or more."""
    return float(scipy.stats.binom.sf(named - 1, strangers, fpir))
