"""Pairs of texts with how alike they are: read from a table, made groups, and measured by."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import rankdata

from index.roster import Score, Scores
from models_store.comparator import Comparator
from models_store.manifest import Metric, OperatingPoint
from models_store.sample import Sample

TEXT_COLUMNS = (("sentence1", "sentence2"), ("text1", "text2"), ("text_a", "text_b"), ("a", "b"))
SCORE_COLUMNS = ("same", "score", "similarity", "relatedness", "paraphrase")
SAYINGS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}

_AT_ONCE = 64
_DRAWS = 1000  # of the bootstrap
_NUMBERS_AT_ONCE = 1 << 20

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TextPairs:
    """Pairs of texts, as positions in `texts`, and how alike people found them, higher is more.

    `broken` tells of each line that was left out, and why.
    """

    texts: tuple[str, ...]
    a: Rows  # (m,)
    b: Rows  # (m,)
    scores: Floats  # (m,)
    broken: tuple[str, ...] = ()

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.scores)

    @property
    def graded(self) -> bool:
        """Whether there are degrees between same and different."""
        return len(np.unique(self.scores)) > 2

    def scaled(self) -> "TextPairs":
        """Return the pairs with scores from 0, the lowest there is, to 1, the highest."""
        low, span = self.scores.min(), np.ptp(self.scores)
        return replace(self, scores=(self.scores - low) / (span or 1.0))

    def without(self, others: "TextPairs") -> "TextPairs":
        """Return the pairs that are not among the others, either way round."""
        known = {
            frozenset((others.texts[a], others.texts[b]))
            for a, b in zip(others.a, others.b, strict=True)
        }
        kept = [row for row in self.rows if frozenset(row[:2]) not in known]
        return _pairs(kept, self.broken)

    @property
    def rows(self) -> list[tuple[str, str, float]]:
        """Both texts and the score of each pair."""
        return [
            (self.texts[a], self.texts[b], float(score))
            for a, b, score in zip(self.a, self.b, self.scores, strict=True)
        ]

    def same(self, same_from: float | None = None) -> npt.NDArray[np.bool_]:
        """Return which pairs count as the same, (m,): those of at least this score.

        Unsaid, that is the upper of two scores; of graded ones it has to be said (ValueError).
        """
        if same_from is None:
            if self.graded:
                raise ValueError("of graded pairs, say from which score on two texts are the same")
            same_from = float(self.scores.max())
        return self.scores >= same_from


def read_text_pairs(path: Path, score: str | None = None) -> TextPairs:
    """Return the pairs in a table: tab-separated without quoting, or by commas if it is `.csv`.

    The texts stand in two columns of TEXT_COLUMNS, how alike they are in the column `score`, or
    the first there is of SCORE_COLUMNS: a number, true or false, yes or no. Raises ValueError
    where there are no such columns.
    """
    comma = path.suffix == ".csv"
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(
            file,
            delimiter="," if comma else "\t",
            quoting=csv.QUOTE_MINIMAL if comma else csv.QUOTE_NONE,
        )
        present = set(rows.fieldnames or ())
        sides = next((pair for pair in TEXT_COLUMNS if present.issuperset(pair)), None)
        column = score or next((name for name in SCORE_COLUMNS if name in present), None)
        if sides is None or column not in present:
            raise ValueError(
                f"{path}: expected columns {' or '.join('+'.join(p) for p in TEXT_COLUMNS)} and "
                f"{score or ' or '.join(SCORE_COLUMNS)}, got {', '.join(sorted(present))}"
            )
        found: list[tuple[str, str, float]] = []
        broken = []
        for row in rows:
            first, second, said = (row[name] or "" for name in (*sides, column))
            number = _number(said)
            if first.strip() and second.strip() and number is not None:
                found.append((first, second, number))
            else:
                broken.append(f"{path}: line {rows.line_num}: expected two texts and a score")
    return _pairs(found, broken)


def together(tables: Sequence[TextPairs]) -> TextPairs:
    """Return the pairs of several tables, whose scores are on one scale, as one."""
    found = [row for table in tables for row in table.rows]
    return _pairs(found, [line for table in tables for line in table.broken])


def paraphrase_groups(pairs: TextPairs, same_from: float | None = None) -> Rows:
    """Return the group of each text, (texts,), counted from 0: who are the same, and by whom.

    Two texts are of one group if a chain of pairs, each the same, leads from one to the other.
    """
    same = pairs.same(same_from)
    a, b = pairs.a[same], pairs.b[same]
    links = coo_array((np.ones(len(a)), (a, b)), shape=(len(pairs.texts), len(pairs.texts)))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def served_distances(comparator: Comparator, pairs: TextPairs) -> Scores:
    """Return the distance (m,) of each of m pairs, as the comparator is served."""
    inputs = [comparator.prepare(Sample(text.encode(), "text")) for text in pairs.texts]
    order = np.argsort([len(windows[0]) for windows in inputs], kind="stable")  # pads least
    blocks = [order[start : start + _AT_ONCE] for start in range(0, len(order), _AT_ONCE)]
    found = np.concatenate([comparator.embed([inputs[i] for i in block]) for block in blocks])
    embeddings = found[np.argsort(order)]
    return comparator.distance(embeddings[pairs.a], embeddings[pairs.b]).astype(np.float64)


def measure_text_pairs(
    pairs: TextPairs,
    distances: Scores,
    score: Score,
    points: Sequence[OperatingPoint],
    same_from: float | None = None,
    seed: int = 0,
) -> tuple[Metric, ...]:
    """Return how distances (m,) of m pairs, and the scores they make, agree with people's scores.

    Spearman's rank correlation; and where the pairs are two kinds, or `same_from` makes them two,
    the area under the ROC curve and what each operating point comes to on these pairs. Intervals
    are 95 %, over pairs drawn anew. Raises ValueError where all scores or distances are equal.
    """
    if not np.ptp(distances) or not np.ptp(pairs.scores):
        raise ValueError("of pairs that are all as alike, nothing can be measured")
    scores, near = score(distances), -np.asarray(distances, np.float64)
    found = [
        Metric(
            name="spearman",
            value=float(spearman(near, pairs.scores)),
            interval=_interval(spearman, near, pairs.scores, seed),
            protocol=f"score against people's, {len(pairs)} pairs of {len(pairs.texts)} texts, "
            "pairs drawn anew",
        )
    ]
    if pairs.graded and same_from is None:
        return tuple(found)
    same = pairs.same(same_from)
    if same.all() or not same.any():
        return tuple(found)
    meant = "" if same_from is None else f" of {same_from:g} or more"
    kinds = f"{same.sum()} pairs{meant} are the same, {(~same).sum()} are not"
    found.append(
        Metric(
            name="pair auc",
            value=float(area(near, same)),
            interval=_interval(area, near, same, seed),
            protocol=f"{kinds}, pairs drawn anew",
        )
    )
    for point in points:
        accepted = scores >= point.threshold
        for name, share in (("fmr", accepted[~same].mean()), ("fnmr", 1 - accepted[same].mean())):
            found.append(
                Metric(name=f"{name} at fmr={point.fmr:g}", value=float(share), protocol=kinds)
            )
    return tuple(found)


def _pairs(found: Sequence[tuple[str, str, float]], broken: Sequence[str]) -> TextPairs:
    numbers: dict[str, int] = {}
    rows = [[numbers.setdefault(text, len(numbers)) for text in row[:2]] for row in found]
    a, b = np.array(rows, np.int64).reshape(-1, 2).T
    scores = np.array([score for *_, score in found], np.float64)
    return TextPairs(tuple(numbers), a, b, scores, tuple(broken))


def _number(said: str) -> float | None:
    said = said.strip().lower()
    try:
        number = SAYINGS[said] if said in SAYINGS else float(said)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def spearman(near: Floats, scores: Floats) -> Floats:
    """Return the rank correlation (...) of two times (..., m) figures; NaN of those all equal."""
    ranks = [rankdata(each, axis=-1) - (each.shape[-1] + 1) / 2 for each in (near, scores)]
    a, b = ranks
    with np.errstate(invalid="ignore"):
        correlation: Floats = (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return correlation


def area(near: Floats, same: npt.NDArray[np.bool_]) -> Floats:
    """Return how often (...) a pair that is the same is nearer than one that is not, of (..., m).

    It is the area under the ROC curve (Mann and Whitney 1947); NaN of one kind only.
    """
    count = same.sum(-1)
    ranks = (rankdata(near, axis=-1) * same).sum(-1)
    with np.errstate(invalid="ignore"):
        share: Floats = (ranks - count * (count + 1) / 2) / (count * (same.shape[-1] - count))
    return share


def _interval(
    figure: Callable[[Floats, Any], Floats], near: Floats, said: npt.NDArray[Any], seed: int
) -> tuple[float, float]:
    """Return the middle 95 % of a figure over pairs drawn anew."""
    random, m = np.random.default_rng(seed), len(said)
    at_once = max(1, _NUMBERS_AT_ONCE // m)
    values = []
    for start in range(0, _DRAWS, at_once):
        rows = random.integers(m, size=(min(at_once, _DRAWS - start), m))
        values.append(figure(near[rows], said[rows]))
    low, high = np.nanquantile(np.concatenate(values), (0.025, 0.975))
    return float(low), float(high)
