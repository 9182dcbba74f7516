"""How much a key may ask for: requests, bytes, and questions about one identity."""

import hashlib
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

DAY = 86_400.0  # seconds
MOST_SUBJECTS = 2**16  # identities and references whose questions are remembered
_SALT = secrets.token_bytes(32)
WHEN_FULL = 3600  # seconds after which to try again where only a deletion makes room


class QuotaExceeded(Exception):
    """A key has asked for more than it may; `reason` is a word of a closed list."""

    def __init__(self, reason: str, rule: str, wait: float) -> None:
        super().__init__(rule)
        self.reason = reason
        self.retry_after = max(1, math.ceil(wait))


@dataclass(frozen=True, slots=True)
class Quota:
    """What a key may ask of one process; None: as much as it likes.

    `burst` is how many requests may come at once after a rest. `probes_per_identity` bounds a
    day's distinct questions that come to one identity, or are of one sample, with an answer short
    of certain: each such answer tells something of the template.
    """

    requests_per_second: float | None = None
    burst: int | None = None
    concurrent_requests: int | None = None
    bytes_per_day: int | None = None
    samples_per_gallery: int | None = None
    probes_per_identity: int | None = None


UNBOUNDED = Quota()


@dataclass(slots=True)
class _Bucket:
    """Tokens that come back at a steady rate, up to `most`; they may be owed."""

    most: float
    rate: float  # tokens a second
    at: float  # when `level` was so
    level: float = field(init=False)

    def __post_init__(self) -> None:
        self.level = self.most

    def wait(self, amount: float, now: float) -> float:
        """Return after how many seconds there is as much, or as much as there ever is."""
        self.level = min(self.most, self.level + (now - self.at) * self.rate)
        self.at = now
        return max(0.0, (min(amount, self.most) - self.level) / self.rate)


@dataclass(slots=True)
class _Use:
    """What one key has used of its quota."""

    quota: Quota
    requests: _Bucket | None
    bytes: _Bucket | None
    running: int = 0

    @classmethod
    def of(cls, quota: Quota, now: float) -> "_Use":
        rate, most = quota.requests_per_second, quota.bytes_per_day
        return cls(
            quota,
            _Bucket(quota.burst or max(1, math.ceil(rate)), rate, now) if rate else None,
            _Bucket(most, most / DAY, now) if most else None,
        )


class Quotas:
    """What every key has used, in this process; there are as many as there are keys."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._uses: dict[str, _Use] = {}

    def spend(
        self, name: str, quota: Quota, announced: int, received: Callable[[], int]
    ) -> AbstractContextManager[None]:
        """Count a request for as long as the context lasts, or raise QuotaExceeded on entering.

        `announced` bytes are taken from the day's at once, and what was `received` beyond them, or
        short of them, is settled in the end.
        """
        use = self._uses.get(name)
        if use is None or use.quota != quota:
            use = self._uses[name] = _Use.of(quota, self._clock())
        return self._spend(use, announced, received)

    @contextmanager
    def _spend(self, use: _Use, announced: int, received: Callable[[], int]) -> Iterator[None]:
        self._demand(use, announced)
        if use.requests:
            use.requests.level -= 1
        if use.bytes:
            use.bytes.level -= announced
        use.running += 1
        try:
            yield
        finally:
            use.running -= 1
            if use.bytes:
                use.bytes.level -= received() - announced

    def _demand(self, use: _Use, announced: int) -> None:
        now, quota = self._clock(), use.quota
        if quota.concurrent_requests and use.running >= quota.concurrent_requests:
            rule = f"expected at most {quota.concurrent_requests} requests of a key at a time"
            raise QuotaExceeded("concurrency", rule, 1)
        if use.requests and (wait := use.requests.wait(1, now)):
            rule = f"expected at most {quota.requests_per_second:g} requests of a key a second"
            raise QuotaExceeded("rate", rule, wait)
        if use.bytes and (wait := use.bytes.wait(max(1, announced), now)):
            rule = f"expected at most {quota.bytes_per_day} bytes of a key a day"
            raise QuotaExceeded("bytes", rule, wait)


def demand_room(most: int | None, samples: int) -> None:
    """Raise QuotaExceeded if a gallery would hold more samples than a key may put there."""
    if most is not None and samples > most:
        raise no_room(most)


def no_room(most: int) -> QuotaExceeded:
    """Return that a gallery holds as many samples as a key may put there."""
    rule = f"expected at most {most} samples in a gallery that the key enrolls in"
    return QuotaExceeded("gallery-size", rule, WHEN_FULL)


class Questions:
    """Which questions were asked about each identity in a day, all keys together.

    Asking the same again tells nothing new, and is not counted. Those asked about longest ago are
    forgotten first, so that this never holds more than `most` subjects.
    """

    def __init__(
        self, most: int = MOST_SUBJECTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._clock = clock
        self._asked: OrderedDict[bytes, tuple[float, set[bytes]]] = OrderedDict()

    def demand(self, subject: bytes, limit: int, question: bytes | None = None) -> None:
        """Raise QuotaExceeded if a subject has had its questions, and this is another."""
        until, asked = self._of(subject)
        if len(asked) >= limit and question not in asked:
            rule = f"expected at most {limit} probes a day that come to one identity uncertainly"
            raise QuotaExceeded("identity", rule, until - self._clock())

    def note(self, subject: bytes, limit: int, question: bytes) -> None:
        """Count a question, or raise as `demand` does."""
        self.demand(subject, limit, question)
        self._asked[subject][1].add(question)

    def _of(self, subject: bytes) -> tuple[float, set[bytes]]:
        now = self._clock()
        entry = self._asked.get(subject)
        if entry is None or entry[0] <= now:
            entry = self._asked[subject] = (now + DAY, set())
        self._asked.move_to_end(subject)
        while len(self._asked) > self._most:
            self._asked.popitem(last=False)
        return entry


def question(*words: object) -> bytes:
    """Return a short name for what was asked, or of whom, which tells nothing of it."""
    return hashlib.blake2b(repr(words).encode(), digest_size=12, key=_SALT).digest()
