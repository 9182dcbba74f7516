"""Does a decision keep what it promises? `python -m evaluation.promises SAMPLES.npz`.

SAMPLES.npz holds unit `embeddings` float32 (n, d), `identities` and `groups` (n,), as
`python -m evaluation` reads them. With `--further`, another such file holds identities that only
widen the range of the calibration, each row made from one `of` (m,) the first: characters turned
on their sides. For each gallery a cohort is drawn anew, for error rates are a cohort's luck too;
what is stated of probabilities and misses rests on a few calibrations, each on the identities of
one cohort, and is held to galleries of the others. *like* strangers are drawn as the cohort is,
*kin* come from the groups of the enrolled, which the cohort does not, and *own cohort* are kin
with 200 of their kind uploaded. What is named of strangers, and the oracle's threshold, is counted
over every sample of every stranger: a quantile of a few probes would know their luck.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from evaluation.calibration import fit_head, prices, score_of
from evaluation.intervals import draws, interval
from evaluation.pairs import Embedded, all_pairs
from evaluation.reliability import binned, expected_error
from index.decision import Identification
from index.gallery import Embeddings, Reference
from index.identification import Identifier
from index.miss_rate import GenuineScores
from index.numpy_gallery import NumpyGallery
from index.posterior import PosteriorModel
from index.roster import Roster, Rule
from models_store.manifest import RuleCalibration

Kind = Literal["like", "kin", "own cohort"]
Rows = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

KINDS: tuple[Kind, ...] = ("like", "kin", "own cohort")
SIZES = (1, 5, 20, 50, 100, 200, 400)
SAMPLES = (1, 3)
TARGETS = (0.05, 0.01)
COHORT, OWN_COHORT = 190, 200
PROBES = 150  # of the enrolled, and of strangers whose answers are read in full
GALLERIES = 8  # that one calibration is held to
_FEWEST_STRANGERS = 10
_SURE = 0.9
_BLOCK = 2048  # probes scored at once


@dataclass(frozen=True, slots=True)
class Split:
    """Identities by role, and what was measured on those of the cohort."""

    embedded: Embedded
    cohort: Rows  # identities
    rest: Rows
    rule: Rule
    worth: RuleCalibration = field(default_factory=RuleCalibration)

    def rows(self) -> list[Rows]:
        """Return the rows of each identity."""
        order = np.argsort(self.embedded.labels, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.embedded.labels))[:-1])

    def engine(self) -> NumpyGallery:
        """Return an empty engine."""
        return NumpyGallery(self.embedded.embeddings.shape[1], self.embedded.metric)

    def best_scores(self, references: list[Reference], probes: Rows) -> Reals:
        """Return the score of the first candidate of each probe (n,) among these references."""
        roster = Roster(self.engine, self.embedded.score)
        rows = self.embedded.embeddings
        roster.enroll(references, rows[[each.key for each in references]])
        if self.rule == "centroid":
            roster.keep_centroids()
        blocks = np.array_split(probes, 1 + len(probes) // _BLOCK)
        return np.concatenate(
            [
                roster.scores(rows[block], roster.identities, self.rule).max(axis=1)
                for block in blocks
            ]
        )

    def identifier(self, cohort: Embeddings) -> Identifier:
        """Return an empty gallery as it would be served."""
        posterior, genuine = self.worth.posterior, self.worth.genuine
        return Identifier(
            self.engine,
            self.embedded.score,
            cohort,
            rule=self.rule,
            posterior=PosteriorModel(**posterior.model_dump()) if posterior else None,
            genuine=GenuineScores(
                genuine.rule, {n: np.array(each) for n, each in genuine.by_samples.items()}
            )
            if genuine
            else None,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What was answered of probes (n,), of the enrolled or not `known`, and what was true.

    `strangers` (m,) are the best scores of all samples of those who are not enrolled, and
    `thresholds` what a match needed, for each target that is resolved.
    """

    known: Flags
    right: Flags  # whether the first candidate is who the probe is of
    score: Reals
    p_value: Reals
    posterior: Reals  # nan where there is none
    expected: float | None
    strangers: Reals
    thresholds: dict[float, float]

    @classmethod
    def of(
        cls,
        answers: list[Identification],
        truth: list[str | None],
        strangers: Reals,
        thresholds: dict[float, float],
    ) -> Self:
        """Read answers; `truth` names the enrolled, and strangers None."""
        first = [each.candidates[0].identity for each in answers]
        return cls(
            known=np.array([who is not None for who in truth]),
            right=np.array([name == who for name, who in zip(first, truth, strict=True)]),
            score=np.array([each.score for each in answers], np.float64),
            p_value=np.array([each.p_value for each in answers], np.float64),
            posterior=np.array([each.posterior for each in answers], np.float64),
            expected=answers[0].expected_fnir,
            strangers=strangers,
            thresholds=thresholds,
        )


def _missed(found: Found, named: Flags) -> float:
    return float(1 - (named & found.right)[found.known].mean())


@dataclass(slots=True)
class Cell:
    """What was seen in the galleries of one size and kind."""

    named: dict[float, list[float]] = field(default_factory=lambda: {each: [] for each in TARGETS})
    missed: dict[float, list[float]] = field(
        default_factory=lambda: {each: [] for each in TARGETS}
    )
    least: dict[float, list[float]] = field(default_factory=lambda: {each: [] for each in TARGETS})
    expected: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)  # the misses that were expected
    reliability: list[Reals] = field(default_factory=list)  # of a gallery: stated, right, weight
    sure: list[tuple[int, int, int]] = field(default_factory=list)  # right, stated ≥ .9, probes

    def add(self, found: Found) -> None:
        """Take in the error rates of one gallery."""
        for target, threshold in found.thresholds.items():
            self.named[target].append(float((found.strangers >= threshold).mean()))
            self.missed[target].append(_missed(found, found.score >= threshold))
            oracle = np.quantile(found.strangers, 1 - target)
            self.least[target].append(_missed(found, found.score > oracle))

    def add_stated(self, found: Found) -> None:
        """Take in what was stated of one gallery."""
        if found.expected is not None:
            self.expected.append(found.expected)
            self.seen.append(_missed(found, found.p_value <= TARGETS[0]))
        if not np.isnan(found.posterior).any():
            right, stated = found.right.astype(float), found.posterior
            self.reliability.append(np.array(binned(stated, right, np.ones(len(stated)))))
            sure = stated >= _SURE
            self.sure.append((int(right[sure].sum()), int(sure.sum()), len(sure)))


@dataclass(frozen=True, slots=True)
class Further:
    """More identities, each made from one of the others: (m,) labels."""

    embedded: Embedded
    of: Rows

    def made_from(self, identities: Rows) -> Embedded:
        """Return those made from these identities."""
        return self.embedded.only(np.isin(self.of, identities))


def split_identities(
    embedded: Embedded, kind: Kind, rule: Rule, seed: int, cohort: int = COHORT
) -> Split:
    """Draw a cohort, by whole groups for kin."""
    rng = np.random.default_rng(seed)
    order, count = rng.permutation(embedded.identities), cohort
    if kind != "like":
        place = rng.permutation(int(embedded.groups.max()) + 1)[embedded.group_of[order]]
        order = order[np.argsort(place, kind="stable")]
        ends = np.cumsum(np.bincount(place))
        count = int(ends[np.searchsorted(ends, cohort)])
    return Split(embedded, order[:count], order[count:], rule)


def calibrated(split: Split, further: Further | None, seed: int) -> Split:
    """Return the split with what is measured on the cohort's identities."""
    held_out = split.embedded.only(np.isin(split.embedded.labels, split.cohort))
    more = further.made_from(split.cohort) if further else None
    if more:
        more = replace(more, score=split.embedded.score)
    return replace(split, worth=prices(held_out, split.rule, seed, more))


def gallery(split: Split, kind: Kind, enrolled: int, samples: int, seed: int) -> Found | None:
    """Return what one gallery answers to probes of the enrolled and of as many strangers.

    None where there are too few identities.
    """
    e, rng = split.embedded, np.random.default_rng(seed)
    rest = rng.permutation(split.rest)
    own, rest = (rest[:OWN_COHORT], rest[OWN_COHORT:]) if kind == "own cohort" else (None, rest)
    members, strangers = rest[:enrolled], rest[enrolled:]
    if len(strangers) < _FEWEST_STRANGERS:
        return None
    rows = [rng.permutation(each) for each in split.rows()]
    identifier = split.identifier(e.embeddings[[rows[i][0] for i in split.cohort]])
    references = [Reference(int(row), str(i)) for i in members for row in rows[i][:samples]]
    identifier.enroll(references, e.embeddings[[each.key for each in references]])
    if own is not None:
        identifier.replace_cohort(e.embeddings[[rows[i][0] for i in own]])
    known, unknown = np.resize(members, PROBES), np.resize(strangers, PROBES)
    probes = [rng.choice(rows[i][samples:]) for i in np.concatenate([known, unknown])]
    answers = identifier.identify(e.embeddings[probes], target_fpir=TARGETS[0], top=1, k=1)
    thresholds = {target: identifier.threshold(target) for target in TARGETS}
    return Found.of(
        answers,
        [*map(str, known), *[None] * PROBES],
        split.best_scores(references, np.concatenate([rows[i] for i in strangers])),
        {target: least for target, least in thresholds.items() if least is not None},
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What is drawn: which strangers, how many calibrations and galleries, how large a cohort."""

    rule: Rule
    kinds: tuple[Kind, ...]
    splits: int  # calibrations
    galleries: int
    cohort: int


def measure(
    embedded: Embedded, further: Further | None, plan: Plan
) -> Iterator[tuple[Kind, int, dict[int, Cell]]]:
    """Yield a row of cells by size for each kind of strangers and number of samples."""
    for kind in plan.kinds:

        def drawn(seed: int, kind: Kind = kind) -> Split:
            return split_identities(embedded, kind, plan.rule, seed, plan.cohort)

        seeds = range(plan.splits) if kind != "own cohort" else ()  # which changes no calibration
        measured = [calibrated(drawn(seed), further, seed) for seed in seeds]
        for samples in SAMPLES:
            cells = {enrolled: Cell() for enrolled in SIZES}
            for enrolled, cell in cells.items():
                for seed in range(plan.galleries):
                    if found := gallery(drawn(seed), kind, enrolled, samples, seed):
                        cell.add(found)
                    if measured and seed < GALLERIES * len(measured):
                        split = measured[seed % len(measured)]
                        if found := gallery(split, kind, enrolled, samples, seed):
                            cell.add_stated(found)
            yield kind, samples, {size: cell for size, cell in cells.items() if cell.named[0.05]}


def table(kind: Kind, samples: int, cells: dict[int, Cell]) -> str:
    """Return one row of cells as a Markdown table, a figure a line."""
    columns = [_figures(cell) for cell in cells.values()]
    head = [f"{kind}, {samples} each: N", *map(str, cells)]
    lines = [[name, *(column[name] for column in columns)] for name in columns[0]]
    return "\n".join(f"| {' | '.join(each)} |" for each in (head, ["---"] * len(head), *lines))


def _figures(cell: Cell) -> dict[str, str]:
    shown = {}
    for asked in TARGETS:
        missed = cell.missed[asked]
        shown[f"FPIR, asked {asked:g}"] = _over(cell.named[asked], value=_mean)
        shown[f"FNIR, asked {asked:g}"] = _over(missed, value=_mean)
        shown[f"– by the oracle's, asked {asked:g}"] = _over(
            missed, cell.least[asked], value=_ratio
        )
    shown["expected FNIR by observed"] = _over(cell.expected, cell.seen, value=_ratio)
    shown["ECE"] = _over(cell.reliability, value=_ece)
    shown["stated ≥ .9: right"] = _over(cell.sure, value=_right_of_sure)
    shown["stated ≥ .9: share"] = _over(cell.sure, value=_sure_of_probes)
    return shown


def _mean(means: Reals) -> Reals:
    return means[:, 0]


def _ratio(means: Reals) -> Reals:
    return means[:, 0] / means[:, 1]


def _right_of_sure(means: Reals) -> Reals:
    return means[:, 0, 0] / means[:, 0, 1]


def _sure_of_probes(means: Reals) -> Reals:
    return means[:, 0, 1] / means[:, 0, 2]


def _ece(means: Reals) -> Reals:
    return expected_error(*np.moveaxis(means[:, 0], 1, 0))


def _over(*columns: Sequence[npt.ArrayLike], value: Callable[[Reals], Reals]) -> str:
    """Return a figure of means over galleries, with its interval over galleries drawn anew."""
    if not columns[0]:
        return "–"
    each = np.stack([np.asarray(column, float) for column in columns], axis=1)  # (galleries, …)
    drawn = draws(len(each), seed=0) / len(each)
    with np.errstate(divide="ignore", invalid="ignore"):
        told, again = value(each.mean(axis=0)[None])[0], value(np.tensordot(drawn, each, 1))
    if not np.isfinite(told):  # nothing to divide by
        return "–"
    low, high = interval(again[np.isfinite(again)])
    return f"{told:.3f} ({low:.3f}–{high:.3f})"


def read(path: Path) -> tuple[Embedded, npt.NDArray[np.str_]]:
    """Return labelled embeddings, whose own score means nothing yet, and identities' names."""
    with np.load(path, allow_pickle=False) as held:
        names, labels = np.unique(held["identities"], return_inverse=True)
        groups = np.unique(held["groups"], return_inverse=True)[1]
        embeddings = held["embeddings"].astype(np.float32)
    drawers = np.zeros(len(labels), "U1")
    return Embedded(embeddings, labels, groups, drawers, "cosine", np.negative), names


def read_further(path: Path, names: npt.NDArray[np.str_]) -> Further:
    """Return more identities; `of` names whom each row was made from."""
    with np.load(path, allow_pickle=False) as held:
        of = np.searchsorted(names, held["of"])
    return Further(read(path)[0], of)


def main() -> None:
    """Print the tables."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("samples", type=Path)
    asked.add_argument("--further", type=Path)
    asked.add_argument("--rule", choices=["max", "mean", "centroid"], default="max")
    asked.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    asked.add_argument("--splits", type=int, default=4)
    asked.add_argument("--galleries", type=int, default=100)
    asked.add_argument("--cohort", type=int, default=COHORT)
    options = asked.parse_args()
    embedded, names = read(options.samples)
    some = embedded.only(embedded.labels < COHORT)
    embedded = replace(embedded, score=score_of(fit_head(all_pairs(some))))
    further = read_further(options.further, names) if options.further else None
    plan = Plan(
        options.rule, tuple(options.kinds), options.splits, options.galleries, options.cohort
    )
    for row in measure(embedded, further, plan):
        sys.stdout.write(table(*row) + "\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
