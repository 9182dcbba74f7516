"""Does a decision keep what it promises? `python -m evaluation.promises SAMPLES.npz`.

SAMPLES.npz holds unit `embeddings` float32 (n, d), `identities` and `groups` (n,), as
`python -m evaluation` reads them. With `--further`, another such file holds identities that only
widen the range of the calibration, each row made from one `of` (m,) the first: characters turned
on their sides. For each gallery a cohort is drawn anew, for error rates are a cohort's luck too;
what is stated of probabilities and misses rests on a few calibrations, each on the identities of
one cohort, and is held to galleries of the others. *like* strangers are drawn as the cohort is,
*kin* come from the groups of the enrolled, which the cohort does not, and *own cohort* are kin
with 200 of their kind uploaded.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from evaluation.calibration import fit_head, prices, score_of
from evaluation.pairs import Embedded, all_pairs
from evaluation.reliability import binned, expected_error
from index.decision import Identification
from index.gallery import Embeddings, Reference
from index.identification import Identifier
from index.miss_rate import GenuineScores
from index.numpy_gallery import NumpyGallery
from index.posterior import PosteriorModel
from index.roster import Rule
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
PROBES = 150  # of the enrolled, and of strangers
GALLERIES = 8  # that one calibration is held to
_FEWEST_STRANGERS = 10


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

    def identifier(self, cohort: Embeddings) -> Identifier:
        """Return an empty gallery as it would be served."""
        posterior, genuine = self.worth.posterior, self.worth.genuine
        return Identifier(
            partial(NumpyGallery, self.embedded.embeddings.shape[1], self.embedded.metric),
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
    """What was answered of probes (n,), of the enrolled or not `known`, and what was true."""

    known: Flags
    right: Flags  # whether the first candidate is who the probe is of
    score: Reals
    p_value: Reals
    posterior: Reals  # nan where there is none
    expected: float | None
    resolved: tuple[float, ...]  # targets

    @classmethod
    def of(
        cls,
        answers: list[Identification],
        truth: list[str | None],
        resolved: tuple[float, ...],
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
            resolved=resolved,
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
    stated: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)

    def add(self, found: Found) -> None:
        """Take in the error rates of one gallery."""
        for target in found.resolved:
            named = found.p_value <= target
            self.named[target].append(float(named[~found.known].mean()))
            self.missed[target].append(_missed(found, named))
            oracle = found.score > np.quantile(found.score[~found.known], 1 - target)
            self.least[target].append(_missed(found, oracle))

    def add_stated(self, found: Found) -> None:
        """Take in what was stated of one gallery."""
        if found.expected is not None:
            self.expected.append(found.expected)
            self.seen.append(_missed(found, found.p_value <= TARGETS[0]))
        if not np.isnan(found.posterior).any():
            self.stated += found.posterior.tolist()
            self.right += found.right.tolist()

    def ece(self) -> float:
        """Return the expected calibration error of what was stated of first candidates."""
        stated, right = np.array(self.stated), np.array(self.right, np.float64)
        return float(expected_error(*binned(stated, right, np.ones(len(stated)))))

    def sure(self) -> tuple[float, float]:
        """Return how many of the answers stated ≥ 90 % are right, and what share they are."""
        stated, right = np.array(self.stated), np.array(self.right)
        sure = stated >= 0.9
        return float(right[sure].mean()) if sure.any() else np.nan, float(sure.mean())


@dataclass(frozen=True, slots=True)
class Further:
    """More identities, each made from one of the others: (m,) labels."""

    embedded: Embedded
    of: Rows

    def made_from(self, identities: Rows) -> Embedded:
        """Return those made from these identities."""
        return self.embedded.only(np.isin(self.of, identities))


def split_identities(embedded: Embedded, kind: Kind, rule: Rule, seed: int) -> Split:
    """Draw a cohort, by whole groups for kin."""
    rng = np.random.default_rng(seed)
    order, count = rng.permutation(embedded.identities), COHORT
    if kind != "like":
        place = rng.permutation(int(embedded.groups.max()) + 1)[embedded.group_of[order]]
        order = order[np.argsort(place, kind="stable")]
        ends = np.cumsum(np.bincount(place))
        count = int(ends[np.searchsorted(ends, COHORT)])
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
    resolved = tuple(each for each in TARGETS if identifier.threshold(each) is not None)
    return Found.of(answers, [*map(str, known), *[None] * PROBES], resolved)


def measure(
    embedded: Embedded, rule: Rule, further: Further | None, splits: int, galleries: int
) -> Iterator[tuple[Kind, int, dict[int, Cell]]]:
    """Yield a row of cells by size for each kind of strangers and number of samples."""
    for kind in KINDS:
        seeds = range(splits) if kind != "own cohort" else ()  # which changes no calibration
        measured = [
            calibrated(split_identities(embedded, kind, rule, seed), further, seed)
            for seed in seeds
        ]
        for samples in SAMPLES:
            cells = {enrolled: Cell() for enrolled in SIZES}
            for enrolled, cell in cells.items():
                for seed in range(galleries):
                    split = split_identities(embedded, kind, rule, seed)
                    if found := gallery(split, kind, enrolled, samples, seed):
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
        shown[f"FPIR, asked {asked:g}"] = _mean(cell.named[asked])
        shown[f"FNIR, asked {asked:g}"] = _mean(missed)
        shown[f"– by the oracle's, asked {asked:g}"] = _relative(missed, cell.least[asked])
    shown["expected FNIR by observed"] = _relative(cell.expected, cell.seen)
    shown["ECE"] = f"{cell.ece():.3f}" if cell.stated else "–"
    right, share = cell.sure() if cell.stated else (0, 0)
    shown["stated ≥ .9: right (share)"] = f"{right:.2f} ({share:.2f})" if share else "–"
    return shown


def _mean(values: list[float]) -> str:
    return f"{np.mean(values):.4f}" if values else "–"


def _relative(values: list[float], by: list[float]) -> str:
    return f"{np.mean(values) / np.mean(by):.2f}" if values and np.mean(by) else "–"


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
    asked.add_argument("--splits", type=int, default=4)
    asked.add_argument("--galleries", type=int, default=100)
    options = asked.parse_args()
    embedded, names = read(options.samples)
    some = embedded.only(embedded.labels < COHORT)
    embedded = replace(embedded, score=score_of(fit_head(all_pairs(some))))
    further = read_further(options.further, names) if options.further else None
    for row in measure(embedded, options.rule, further, options.splits, options.galleries):
        sys.stdout.write(table(*row) + "\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
