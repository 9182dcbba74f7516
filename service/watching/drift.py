"""Where the last probes of each comparator lie among those that scores were learnt on."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from index import Embeddings, Identifier, Scores, drift
from models_store import Comparator, Side
from service.replicas.replica import Replica

WINDOW = 500
MOST = 500  # strangers that a probe is compared with
ENOUGH = 10  # identities of a gallery that tell what comes to it better than the bundle does


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the last `probes` of a comparator are from what it knows, and what chance allows."""

    comparator: str
    index: float
    limit: float
    probes: int


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where a probe lies in a reference of so many scores."""

    place: float
    whose: tuple[str, str]  # a gallery's or the bundle's, by its name or side
    size: int


class Drift:
    """The last 500 probes of each comparator, each as its place in a reference.

    A probe's best score against the bundle's strangers is compared with theirs against each other
    or, in a gallery of ten identities, with those of the identities that it is tried with: probes
    come from where these do, and the strangers may not. No embedding is kept for longer than
    until the next `shifts`.
    """

    def __init__(self, comparators: Iterable[Comparator]) -> None:
        self._comparators = {comparator.title: comparator for comparator in comparators}
        self._new: dict[str, deque[tuple[Replica, Embeddings]]] = {}
        self._placed: dict[str, deque[_Placed]] = {}
        for title in self._comparators:
            self._new[title], self._placed[title] = deque(maxlen=WINDOW), deque(maxlen=WINDOW)
        self._bundled: dict[tuple[str, Side], Scores] = {}
        self._own: WeakKeyDictionary[Identifier, tuple[int, Scores]] = WeakKeyDictionary()
        self._chance = np.random.default_rng()

    def watch(self, replica: Replica, probes: Embeddings) -> None:
        """Take note of probes (n, d) that a gallery was asked about."""
        self._new[replica.comparator.title].extend((replica, probe) for probe in probes)

    def shifts(self) -> list[Shift]:
        """Return how it stands with each comparator now; some ms, for a thread."""
        return [self._shift(comparator) for comparator in self._comparators.values()]

    def _shift(self, comparator: Comparator) -> Shift:
        title = comparator.title
        placed = self._placed[title]
        placed.extend(self._place(self._new[title]))
        probes = len(placed)
        if probes < drift.FEWEST:
            size = len(_some(comparator, "a"))
            return Shift(title, 0.0, drift.no_drift_limit(size, drift.FEWEST), probes)
        sizes = {each.whose: each.size for each in placed}
        counts = Counter(each.whose for each in placed)
        size_of_all = drift.size_together([*sizes.values()], [counts[whose] for whose in sizes])
        index = drift.stability_index(np.array([each.place for each in placed]))
        return Shift(title, index, drift.no_drift_limit(size_of_all, probes), probes)

    def _place(self, new: deque[tuple[Replica, Embeddings]]) -> list[_Placed]:
        taken = [new.popleft() for _ in range(len(new))]
        replicas = {id(replica): replica for replica, _ in taken}
        placed = []
        for key, replica in replicas.items():
            probes = np.stack([probe for one, probe in taken if id(one) == key])
            comparator, side = replica.comparator, replica.state.settings.probes
            whose, reference = self._reference(replica)
            scores = _best(comparator, side, probes)
            places = drift.places(scores, reference, self._chance).tolist()
            placed += [_Placed(place, whose, len(reference)) for place in places]
        return placed

    def _reference(self, replica: Replica) -> tuple[tuple[str, str], Scores]:
        """Return whose scores probes of a gallery are placed among, and these (m,)."""
        comparator, side = replica.comparator, replica.state.settings.probes
        index, version = replica.index, replica.version
        at, own = self._own.get(index, (-1, np.empty(0)))
        if at != version:
            own = _best(comparator, side, index.tried())
            self._own[index] = version, own
        if len(own) >= ENOUGH:
            return ("gallery", replica.name), own
        if (comparator.title, side) not in self._bundled:
            strangers = _some(comparator, side)
            found = _best(comparator, side, strangers, themselves=True)
            self._bundled[comparator.title, side] = found
        return ("bundle", side), self._bundled[comparator.title, side]


def _best(
    comparator: Comparator, side: Side, probes: Embeddings, *, themselves: bool = False
) -> Scores:
    """Return the best score of each probe (n, d) against the bundle's strangers."""
    return drift.best_scores(
        probes,
        _some(comparator, side),
        comparator.score,
        comparator.manifest.distance,
        themselves=themselves,
    )


def _some(comparator: Comparator, side: Side) -> Embeddings:
    """Return up to 500 of the bundle's strangers, evenly drawn: (m, d)."""
    strangers = comparator.cohorts[side]
    return strangers[:: -(-len(strangers) // MOST)]
