"""Decisions that can be read again and judged: the newest, in memory, for a while."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic

from index import Identification
from models_store import Comparator, Given, Sample
from models_store.comparator import Array
from service.use_cases.enrolling import fingerprint
from service.use_cases.results import Identifications

MOST_LISTED = 10  # candidates of a decision that are remembered, and samples of each


class UnknownDecision(LookupError):
    """No such decision is remembered here."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as it was made, and the probe that it was about."""

    id: str
    caller: str | None
    at: datetime
    gallery: str
    comparator: Comparator
    version: int
    identities: int
    index: int
    result: Identification
    fingerprint: str
    embedding: Array  # (d,)
    sample: Sample | None  # only where the gallery keeps samples

    @property
    def size(self) -> int:
        """Bytes of the sample."""
        return len(self.sample.content) if self.sample else 0


class Decisions:
    """The newest `most` decisions of this process, none older than `seconds`, in memory only.

    Samples of galleries that keep samples are kept beside them, `room` bytes of them.
    """

    def __init__(
        self, most: int, seconds: float, room: int, clock: Callable[[], float] = monotonic
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._room = room
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Decided]] = OrderedDict()
        self._bytes = 0

    def keep(
        self, caller: str | None, files: Sequence[Given], found: Identifications
    ) -> list[str | None]:
        """Remember the decisions on these probes; return the id of each, None if none are kept."""
        if not self._most:
            return [None] * len(found.results)
        keeping = found.replica.state.settings.keep_samples
        ids: list[str | None] = []
        for i, result, row in zip(found.indices, found.results, found.embeddings, strict=True):
            given = files[i]
            sample = given if keeping and isinstance(given, Sample) else None
            if sample and len(sample.content) > self._room:
                sample = None
            whose = fingerprint(given)
            asked = (caller, found.replica.name, found.replica.comparator.digest, found.version)
            decided = Decided(
                _name(*asked, i, whose, *_told(result)),
                caller,
                datetime.now(UTC),
                found.replica.name,
                found.replica.comparator,
                found.version,
                found.identities,
                i,
                _shortened(result),
                whose,
                row.copy(),
                sample,
            )
            self.drop(decided.id)
            self._kept[decided.id] = self._clock(), decided
            self._bytes += decided.size
            ids.append(decided.id)
        self._make_room()
        return ids

    def get(self, decision: str) -> Decided:
        """Return a decision, or raise UnknownDecision."""
        self._make_room()
        if decision not in self._kept:
            raise UnknownDecision("there is no such decision, or no more")
        return self._kept[decision][1]

    def drop(self, decision: str) -> None:
        """Forget a decision."""
        if found := self._kept.pop(decision, None):
            self._bytes -= found[1].size

    def _make_room(self) -> None:
        until = self._clock() - self._seconds
        while self._kept:
            oldest, (at, _) = next(iter(self._kept.items()))
            if at >= until and len(self._kept) <= self._most and self._bytes <= self._room:
                return
            self.drop(oldest)


def _name(*words: object) -> str:
    """Return an id that is the same for the same decision, whoever serves it."""
    return hashlib.blake2b(repr(words).encode(), digest_size=12).hexdigest()


def _told(result: Identification) -> tuple[object, ...]:
    """Return what tells a decision from every other on the same probe and version of a gallery."""
    first = result.candidates[0] if result.candidates else None
    return (
        result.rule,
        result.outcome,
        result.reason,
        result.threshold,
        result.target_fpir,
        result.unknown_posterior,
        first and (first.identity, first.score, first.posterior),
        [len(each.samples) for each in result.candidates],
    )


def _shortened(result: Identification) -> Identification:
    """Return a decision with its first candidates and their best samples only."""
    lengths = (len(result.candidates), *(len(each.samples) for each in result.candidates))
    if max(lengths) <= MOST_LISTED:
        return result
    return replace(
        result,
        candidates=tuple(
            each._replace(samples=each.samples[:MOST_LISTED])
            for each in result.candidates[:MOST_LISTED]
        ),
    )
