"""Where the last probes of each comparator lie among those that came before."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from index import Embeddings, Identifier, Scores, distances, drift
from models_store import Comparator, Side
from service.replicas.replica import Replica

WINDOW = 500
MOST = 500  # strangers that a probe is compared with
ENOUGH = 10  # identities of a gallery that tell what comes to it better than the bundle does
STRETCH = 25  # probes that come after one another, and may be of one person, place or hour

Nearest = npt.NDArray[np.int64]
"""A number for who of the enrolled is nearest to each probe."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the last `probes` of a comparator are from what it knows, and what chance allows."""

    comparator: str
    index: float
    limit: float
    probes: int


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where a probe lies in a reference that is worth so many independent scores."""

    place: float
    whose: tuple[str, str]
    size: float


@dataclass(frozen=True, slots=True)
class _Reference:
    """Scores (m,) that probes are placed among, worth `size` independent ones."""

    whose: tuple[str, str]  # of a gallery's identities or first probes, or the bundle's strangers
    scores: Scores
    size: float


class Drift:
    """The last 500 probes of each comparator, each as its place in a reference.

    A probe's best score against the bundle's strangers is compared with theirs against each other
    or, in a gallery of ten identities, with those of the identities that it is tried with: probes
    come from where these do, and the strangers may not. The first 500 probes of a gallery, unless
    they are a shift from its identities, are what later ones are compared with, if they tell more.
    No embedding is kept for longer than until the next `shifts`.
    """

    def __init__(self, comparators: Iterable[Comparator]) -> None:
        self._comparators = {comparator.title: comparator for comparator in comparators}
        self._new: dict[str, deque[tuple[Replica, Embeddings]]] = {}
        self._placed: dict[str, deque[_Placed]] = {}
        for title in self._comparators:
            self._new[title], self._placed[title] = deque(maxlen=WINDOW), deque(maxlen=WINDOW)
        self._bundled: dict[tuple[str, Side], Scores] = {}
        self._enrolled: WeakKeyDictionary[Identifier, tuple[int, Scores]] = WeakKeyDictionary()
        self._first: WeakKeyDictionary[Identifier, _First] = WeakKeyDictionary()
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
        where = np.array([each.place for each in placed])
        more = (_by_time(where) - 1) / probes  # variance than independent probes have
        limit = drift.no_drift_limit(max(1.0, 1 / (1 / size_of_all + more)), probes)
        return Shift(title, drift.stability_index(where), limit, probes)

    def _place(self, new: deque[tuple[Replica, Embeddings]]) -> list[_Placed]:
        taken = [new.popleft() for _ in range(len(new))]
        replicas = {id(replica): replica for replica, _ in taken}
        placed = []
        for key, replica in replicas.items():
            probes = np.stack([probe for one, probe in taken if id(one) == key])
            scores = _best(replica.comparator, replica.state.settings.probes, probes)
            reference = self._reference(replica)
            places = drift.places(scores, reference.scores, self._chance)
            placed += [_Placed(p, reference.whose, reference.size) for p in places.tolist()]
            self._learn(replica, probes, scores, reference)
        return placed

    def _reference(self, replica: Replica) -> _Reference:
        """Return what probes of a gallery are placed among."""
        comparator, side = replica.comparator, replica.state.settings.probes
        index, version = replica.index, replica.version
        at, enrolled = self._enrolled.get(index, (-1, np.empty(0)))
        if at != version:
            enrolled = _best(comparator, side, index.tried())
            self._enrolled[index] = version, enrolled
        first = self._first.get(index)
        if first is not None and first.size > len(enrolled):
            return _Reference(("first", replica.name), first.scores, first.size)
        if len(enrolled) >= ENOUGH:
            return _Reference(("enrolled", replica.name), enrolled, len(enrolled))
        if (comparator.title, side) not in self._bundled:
            strangers = _some(comparator, side)
            found = _best(comparator, side, strangers, themselves=True)
            self._bundled[comparator.title, side] = found
        bundled = self._bundled[comparator.title, side]
        return _Reference(("bundle", side), bundled, len(bundled))

    def _learn(
        self, replica: Replica, probes: Embeddings, scores: Scores, reference: _Reference
    ) -> None:
        """Take the first probes of a gallery for its usual ones, unless they have shifted."""
        first = self._first.setdefault(replica.index, _First())
        if first.size:
            return
        first.scores = np.concatenate([first.scores, scores])[:WINDOW]
        first.who = np.concatenate([first.who, _nearest(replica, probes)])[:WINDOW]
        if len(first.who) < WINDOW:
            return
        among = drift.places(first.scores, reference.scores, self._chance)
        limit = drift.no_drift_limit(reference.size, WINDOW)
        if reference.whose[0] == "enrolled" and drift.stability_index(among) > limit:
            self._first[replica.index] = _First()
        else:
            first.end(self._chance)


@dataclass(slots=True, eq=False)
class _First:
    """Scores (n,) of the first probes of a gallery, and who is nearest to each."""

    scores: Scores = field(default_factory=lambda: np.empty(0))
    who: Nearest = field(default_factory=lambda: np.empty(0, np.int64))
    size: float = 0.0
    """How many independent scores they are worth, 0 before there are enough."""

    def end(self, chance: np.random.Generator) -> None:
        """Say what they are worth: probes of one person, or one hour, are alike.

        What they vary more than independent probes do, later windows do as well.
        """
        among = drift.places(self.scores, self.scores, chance)
        effect = max(_by_time(among), drift.design_effect(among, self.who))
        self.size = WINDOW / (2 * effect - 1)
        self.who = np.empty(0, np.int64)


def _by_time(where: Scores) -> float:
    """Return how much more places (n,) vary than independent ones, for what came together."""
    return drift.design_effect(where, np.arange(len(where)) // STRETCH)


def _nearest(replica: Replica, probes: Embeddings) -> Nearest:
    """Return a number for who is nearest to each probe (n, d), of those that it is tried with."""
    enrolled = replica.index.tried()
    if not len(enrolled):
        return np.zeros(len(probes), np.int64)
    far = distances(probes, enrolled, replica.comparator.manifest.distance)
    return np.array([hash(enrolled[row].tobytes()) for row in far.argmin(axis=1)])


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
