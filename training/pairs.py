"""Labelled pairs, drawn without a loop: a manifest of who is compared with whom."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]

HEADER = ("a", "b", "same")


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """Pairs of samples: rows of both sides, and whether one identity made both."""

    a: Rows  # (m,)
    b: Rows  # (m,)
    same: npt.NDArray[np.bool_]  # (m,)

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.same)

    @property
    def positive_rate(self) -> float:
        """The share of genuine pairs; NaN where there are no pairs."""
        return float(self.same.mean()) if len(self) else float("nan")


def split_identities(labels: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """Return the rows of all but a `share` of the identities, and the rows of that share.

    No identity has samples in both: pairs drawn in one part meet nobody of the other.
    """
    identities = np.random.default_rng(seed).permutation(np.unique(labels))
    held_out = np.isin(labels, identities[: round(share * len(identities))])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


@dataclass(frozen=True, slots=True)
class Limits:
    """Whose samples make pairs, and what share of the pairs is genuine.

    Identities with fewer samples than `at_least` are left out; of those with more than
    `at_most`, that many take part, so that the largest do not make all the pairs. Where samples
    give fewer pairs of a kind than asked, there are fewer, and the rate is another: read it from
    the result. `strict` cuts the other kind down too, so that the rate is as asked, to the pair.
    """

    positive_rate: float = 0.5
    at_least: int = 1
    at_most: int | None = None
    strict: bool = False


def draw_pairs(
    labels: Rows, count: int, limits: Limits = Limits(), seed: int = 0
) -> LabelledPairs:
    """Return up to `count` different pairs of samples with these labels (n,), in random order.

    No sample meets itself, and no pair comes twice, in either order.
    """
    random = np.random.default_rng(seed)
    rows = _taking_part(labels, limits, random)
    rows = rows[np.argsort(labels[rows], kind="stable")]
    ends = np.searchsorted(labels[rows], labels[rows], side="right")  # where each identity ends
    here = np.arange(len(rows))
    genuine, impostor = _Partners(here + 1, ends - here - 1), _Partners(ends, len(rows) - ends)

    wanted = round(count * limits.positive_rate)
    g, i = min(wanted, genuine.pairs), min(count - wanted, impostor.pairs)
    if limits.strict:
        g, i = _at_rate(g, i, limits.positive_rate)
    first, second = np.concatenate([genuine.draw(g, random), impostor.draw(i, random)], axis=1)
    order = random.permutation(g + i)
    swap = random.random(g + i) < 0.5  # or side a would always be the earlier identity
    a, b = np.where(swap, second, first), np.where(swap, first, second)
    return LabelledPairs(rows[a][order], rows[b][order], (np.arange(g + i) < g)[order])


def write_pairs(path: Path, names: Sequence[str], pairs: LabelledPairs) -> None:
    """Write a tab-separated manifest `a b same`, with the samples' names and 1 or 0."""
    for name in names:
        if any(sign in name for sign in "\t\r\n"):
            raise ValueError(f"a name in a manifest has no tab and no line break: {name!r}")
    named = np.array(names, np.object_)
    sides = (named[pairs.a], named[pairs.b], np.where(pairs.same, "1", "0"))
    lines = map("\t".join, zip(*(side.tolist() for side in sides), strict=True))
    path.write_text("\n".join(["\t".join(HEADER), *lines, ""]), encoding="utf-8")


def read_pairs(path: Path) -> tuple[tuple[str, ...], LabelledPairs]:
    """Return the names in a manifest, each once and sorted, and the pairs of rows among them.

    Raises ValueError, with the line, where a line is not two names and a 1 or a 0.
    """
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    if not lines or tuple(lines[0]) != HEADER:
        raise ValueError(f"{path}: expected the columns {' '.join(HEADER)}")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(HEADER) or line[2] not in ("0", "1"):
            raise ValueError(f"{path}:{number}: expected two names and 1 or 0, got {line}")
    sides = [[line[side] for line in lines[1:]] for side in range(2)]
    names, rows = np.unique(np.array(sides, np.object_), return_inverse=True)
    a, b = rows.reshape(2, -1).astype(np.int64)
    same = np.array([line[2] == "1" for line in lines[1:]], np.bool_)
    return tuple(map(str, names)), LabelledPairs(a, b, same)


@dataclass(frozen=True, slots=True)
class _Partners:
    """All pairs of a kind, numbered: row 0 and its partners first, then row 1 and its, and so on.

    Row r is paired with the `counts[r]` rows from `firsts[r]` on.
    """

    firsts: Rows  # (n,)
    counts: Rows  # (n,)

    @property
    def pairs(self) -> int:
        return int(self.counts.sum())

    def draw(self, count: int, random: np.random.Generator) -> Rows:
        """Return `count` different pairs, (2, count), of which all are as likely."""
        numbers = random.choice(self.pairs, count, replace=False, shuffle=False)
        until = np.cumsum(self.counts)
        row = np.searchsorted(until, numbers, side="right")
        partner = self.firsts[row] + numbers - (until[row] - self.counts[row])
        return np.stack([row, partner])


def _taking_part(labels: Rows, limits: Limits, random: np.random.Generator) -> Rows:
    """Return the rows of identities that have enough samples, and so many of each at most."""
    shuffled = random.permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(starts, sizes)  # which sample of its identity
    enough = np.repeat(sizes >= limits.at_least, sizes)
    return order[enough & (place < (limits.at_most or len(order)))]


def _at_rate(genuine: int, impostor: int, rate: float) -> tuple[int, int]:
    """Return how many of each are left at exactly this rate, or as near as whole pairs come."""
    if rate in (0, 1):
        return (genuine, 0) if rate else (0, impostor)
    total = min(genuine / rate, impostor / (1 - rate))
    return round(total * rate), round(total * (1 - rate))
