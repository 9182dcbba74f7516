"""P×K batches: as many labels as asked, each with as many samples as asked."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BalancedBatches:
    """Batches of exactly `labels_per_batch` labels × `samples_per_label` samples.

    An epoch shows as many samples as there are, short of a batch, and every label at least once.
    It goes in rounds: each has every label once, in a new order, and a batch may begin in one
    round and end in the next, but has no label twice (so a batch suits GE2E as it is). Labels of
    one group come in runs of up to `kin`: the alphabet's other characters are the impostors worth
    learning from, and chance alone would seldom put two in one batch.

    A label with fewer samples than asked repeats them, each as often as any other give or take
    one, so that the counts stay exact. The same seed and epoch give the same batches, which is
    why a resumed fit goes on as if it had never stopped.
    """

    labels: Rows  # (n,)
    groups: Rows  # (n,)
    labels_per_batch: int
    samples_per_label: int
    kin: int
    seed: int

    def __post_init__(self) -> None:
        if not len(self):
            raise ValueError(
                f"a batch asks for {self.labels_per_batch} labels, "
                f"there are {len(np.unique(self.labels))}"
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        labels = len(np.unique(self.labels))
        if self.labels_per_batch > labels:
            return 0
        whole_round = -(-labels // self.labels_per_batch)
        return max(
            whole_round, len(self.labels) // (self.labels_per_batch * self.samples_per_label)
        )

    def epoch(self, number: int) -> Iterator[Rows]:
        """Yield the rows of each batch, (P·K,), samples of one label side by side."""
        random = np.random.default_rng((self.seed, number))
        by_label = _split(np.arange(len(self.labels)), self.labels)
        group_of = np.array([self.groups[rows[0]] for rows in by_label])
        for batch in islice(self._batches(group_of, random), len(self)):
            yield np.concatenate([self._draw(by_label[label], random) for label in batch])

    def _batches(self, group_of: Rows, random: np.random.Generator) -> Iterator[Rows]:
        """Yield the labels of batch after batch, round after round."""
        left = np.empty(0, np.int64)
        while True:
            order = self._order(group_of, random)
            again = np.isin(order, left)  # these wait, or a batch would have them twice
            order = np.concatenate([left, order[~again], order[again]])
            whole = len(order) // self.labels_per_batch * self.labels_per_batch
            yield from order[:whole].reshape(-1, self.labels_per_batch)
            left = order[whole:]

    def _order(self, group_of: Rows, random: np.random.Generator) -> Rows:
        """Return every label once: runs of kin, the runs in random order."""
        shuffled = random.permutation(len(group_of))
        families = _split(shuffled, group_of[shuffled])
        runs = [
            family[start : start + self.kin]
            for family in families
            for start in range(0, len(family), self.kin)
        ]
        return np.concatenate([runs[i] for i in random.permutation(len(runs))])

    def _draw(self, rows: Rows, random: np.random.Generator) -> Rows:
        rounds = -(-self.samples_per_label // len(rows))
        drawn = np.concatenate([random.permutation(rows) for _ in range(rounds)])
        return drawn[: self.samples_per_label]


def _split(rows: Rows, by: Rows) -> list[Rows]:
    """Return `rows` in one array for each value of `by`, in the order of the values."""
    order = np.argsort(by, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(by[order])) + 1)
