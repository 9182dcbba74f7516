"""One-shot: whose a probe is, of N identities with K samples each."""

from collections.abc import Iterator

import numpy as np

from evaluation.intervals import ratio
from evaluation.pair_counts import Rows
from evaluation.pairs import Embedded
from evaluation.report import Figure, OneShotRow
from index.gallery import distances

WAYS, SHOTS = (5, 20), (1, 5)
TRIALS = 600


def measure_one_shot(
    embedded: Embedded, seed: int, *, grouped: bool, drawn: bool, trials: int = TRIALS
) -> Iterator[OneShotRow]:
    """Yield every setting; within groups only where there are some."""
    for within in (True, False) if grouped else (False,):
        for ways in WAYS:
            for shots in SHOTS:
                right = one_shot(
                    embedded, seed, ways, shots, within_groups=within, drawn=drawn, trials=trials
                )
                yield OneShotRow(ways=ways, shots=shots, within_groups=within, right=right)


def one_shot(
    embedded: Embedded,
    seed: int,
    ways: int = 20,
    shots: int = 1,
    *,
    within_groups: bool,
    drawn: bool,
    trials: int = TRIALS,
) -> Figure:
    """Return how often a probe's own identity has the best mean score over its references.

    Each trial draws `ways` identities, `shots` references and a probe of each. Where it is known
    who made a sample (`drawn`), the same ones made the references of all, and another one all
    the probes. Groups with fewer than `ways` identities are left out.
    """
    random = np.random.default_rng(seed)
    groups = embedded.group_of if within_groups else np.zeros(embedded.identities, np.int64)
    able = np.bincount(embedded.labels, minlength=embedded.identities) > shots
    pools = [np.flatnonzero((groups == group) & able) for group in np.unique(groups)]
    pools = [pool for pool in pools if len(pool) >= ways]
    plural = "" if len(pools) == 1 else "s"
    where = f"within {len(pools)} group{plural}" if within_groups else "among all"
    if not pools:
        place = " in one group" if within_groups else ""
        need = f"{ways} identities of {shots + 1} samples{place} are needed"
        return Figure(counted=f"trials {where}", too_few=need)
    pick = _ByDrawer(embedded) if drawn else _AtRandom(embedded)
    hits, counts = np.zeros((2, embedded.identities))
    done = 0
    for trial in range(trials):
        identities = random.permutation(pools[trial % len(pools)])[:ways]
        rows = pick(identities, shots + 1, random)
        if rows is None:  # somebody has not drawn all of these
            continue
        probes, references = embedded.embeddings[rows[:, 0]], rows[:, 1:].ravel()
        far = distances(probes, embedded.embeddings[references], embedded.metric)
        scores = embedded.score(far.astype(np.float64)).reshape(ways, ways, shots).mean(axis=2)
        nearest = far.reshape(ways, ways, shots).mean(axis=2)
        # A steep head may call all of them 0: the nearer is still the better.
        first = np.lexsort((nearest, -scores), axis=1)[:, 0]
        hits[identities] += first == np.arange(ways)
        counts[identities] += 1
        done += 1
    made = ", references by others than the probes" if drawn else ""
    return ratio(hits, counts, seed, f"{done} trials {where}{made}")


class _ByDrawer:
    """Draws samples of some identities by the same drawers."""

    def __init__(self, embedded: Embedded) -> None:
        self._drawers = np.unique(embedded.drawers)
        place = np.searchsorted(self._drawers, embedded.drawers)
        self._row = np.full((embedded.identities, len(self._drawers)), -1)
        self._row[embedded.labels, place] = np.arange(len(embedded.labels))

    def __call__(self, identities: Rows, count: int, random: np.random.Generator) -> Rows | None:
        if len(self._drawers) < count:
            return None
        rows: Rows = self._row[identities][
            :, random.choice(len(self._drawers), count, replace=False)
        ]
        return rows if (rows >= 0).all() else None


class _AtRandom:
    """Draws any samples of some identities."""

    def __init__(self, embedded: Embedded) -> None:
        order = np.argsort(embedded.labels, kind="stable")
        self._rows = np.split(order, np.cumsum(np.bincount(embedded.labels))[:-1])

    def __call__(self, identities: Rows, count: int, random: np.random.Generator) -> Rows | None:
        return np.array(
            [random.choice(self._rows[i], count, replace=False) for i in identities.tolist()]
        )
