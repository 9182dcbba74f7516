"""Whom a threshold divides by the least: the trials that come nearest to it, on either side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from index.best_scores import BestScores
from index.cohort import Source
from index.grounds import Grounds
from index.leave_one_out import LeaveOneOut
from index.mistakable import LeftOut, named_left_out
from index.roster import Rule


@dataclass(frozen=True, slots=True)
class EnrolledTrial:
    """An enrolled sample as if it were a probe and not enrolled, its identity having others.

    `score` is what its own identity reaches by these, and `rival` who of all others comes closest;
    None where there is nobody else.
    """

    identity: str
    key: int
    score: float
    rival: str | None
    rival_score: float | None
    outcome: LeftOut


@dataclass(frozen=True, slots=True)
class StrangerTrial:
    """A stranger, and who of the enrolled comes closest: `named` if that suffices.

    It is the `row`-th of the cohort, from 0; or the sample of an identity, taken for a stranger
    because nothing of that identity counts.
    """

    row: int | None
    identity: str | None
    key: int | None
    score: float
    nearest: str
    named: bool


Trial = TypeVar("Trial", EnrolledTrial, StrangerTrial)


@dataclass(frozen=True, slots=True)
class Sides(Generic[Trial]):
    """Of `tried` trials those nearest to a threshold: that reach it, and that do not."""

    above: tuple[Trial, ...]
    below: tuple[Trial, ...]
    tried: int

    @classmethod
    def of(cls, trials: Sequence[Trial], threshold: float, most: int) -> "Sides[Trial]":
        """Return at most so many of either side, nearest first, equal ones in the order given."""
        above = sorted((each for each in trials if each.score >= threshold), key=_score)
        below = sorted((each for each in trials if each.score < threshold), key=_below)
        return cls(tuple(above[:most]), tuple(below[:most]), len(trials))


@dataclass(frozen=True, slots=True)
class Boundary:
    """Who lies nearest to the threshold of a target, among those that it rests on.

    `threshold` is None where nobody is enrolled: then nobody is tried.
    """

    rule: Rule
    target_fpir: float
    threshold: float | None
    source: Source
    enrolled: Sides[EnrolledTrial]
    strangers: Sides[StrangerTrial]

    @classmethod
    def of(cls, grounds: Grounds, rule: Rule, target_fpir: float, most: int) -> "Boundary":
        """Return at most so many on either side of the threshold that a target takes by a rule.

        Raises TargetUnresolvable.
        """
        terms = grounds.terms(rule, target_fpir, None)
        strangers, own = grounds.searches.by(rule)
        at = np.inf if terms.threshold is None else terms.threshold
        counted = own if terms.evidence.own_trials else None
        return cls(
            rule,
            target_fpir,
            terms.threshold,
            grounds.source,
            Sides.of(enrolled_trials(own, at), at, most),
            Sides.of(stranger_trials(strangers, counted, at), at, most),
        )


def enrolled_trials(own: LeaveOneOut, threshold: float) -> list[EnrolledTrial]:
    """Return the gallery's genuine trials: one of each identity tried that has two samples."""
    return [
        EnrolledTrial(
            each.identity,
            each.key,
            each.own,
            each.rival,
            each.rival_score,
            named_left_out(each.own, each.rival_score, threshold),
        )
        for each in own.tried()
        if each.own is not None
    ]


def stranger_trials(
    strangers: BestScores, own: LeaveOneOut | None, threshold: float
) -> list[StrangerTrial]:
    """Return the cohort's trials, and those of the gallery's own that count beside them."""
    found = [
        StrangerTrial(row, None, None, score, nearest, score >= threshold)
        for row, (nearest, score) in enumerate(strangers.nearest())
        if nearest is not None
    ]
    for each in own.tried() if own else ():
        if each.rival is not None and each.rival_score is not None:
            named = each.rival_score >= threshold
            trial = StrangerTrial(
                None, each.identity, each.key, each.rival_score, each.rival, named
            )
            found.append(trial)
    return found


def _score(trial: EnrolledTrial | StrangerTrial) -> float:
    return trial.score


def _below(trial: EnrolledTrial | StrangerTrial) -> float:
    return -trial.score
