"""One call until it is answered: what is sent, and whether and when it is tried again."""

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

import httpx

from kindred.calls import Call
from kindred.calls.call import TOLD
from kindred.problems import (
    Overloaded,
    Problem,
    ReplicaBehind,
    UnexpectedAnswer,
    Unreachable,
    problem_of,
)

T = TypeVar("T")

PROBLEM = "application/problem+json"
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between tries, where nobody says how long
LONG = 3600.0  # seconds without a byte; the service has deadlines of its own
TRY_LATER = (429, 503)
NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Versions:
    """The version of each gallery as of which this client has written to it."""

    def __init__(self) -> None:
        self._latest: dict[str, int] = {}
        self._lock = threading.Lock()  # a client may be used by several threads

    def of(self, gallery: str) -> int | None:
        """Return the version of the last write, or None if there was none."""
        return self._latest.get(gallery)

    def wrote(self, gallery: str, version: int) -> None:
        """Remember a write; they may end in another order than they begin."""
        with self._lock:
            self._latest[gallery] = max(version, self._latest.get(gallery, 0))

    def forget(self, gallery: str) -> None:
        """Forget a gallery that ended, or whose versions began anew."""
        with self._lock:
            self._latest.pop(gallery, None)


class Exchange(Generic[T]):
    """A call on its way: pure but for what it remembers, so that any client can drive it.

    `failed` and `came` are told how a try ended, and return the seconds to wait before the next;
    `came` returns None once there is an `answer`. All waits together take at most `patience`
    seconds: what would take longer is raised.
    """

    answer: T

    def __init__(self, call: Call[T], versions: Versions, patience: float) -> None:
        self._call = call
        self._versions = versions
        self._patience = patience
        self._pause = FIRST_PAUSE

    def request(
        self, http: httpx.Client | httpx.AsyncClient, stream: Callable[[Iterator[bytes]], Any]
    ) -> httpx.Request:
        """Return what is sent; a body that comes in pieces becomes what `stream` makes of them."""
        call = self._call
        body = dict(call.body)
        headers = dict(call.headers)
        if callable(pieces := body.get("content")):
            body["content"] = stream(pieces())
        elif pieces is not None:
            headers.setdefault("content-type", "application/json")
        if call.sees is not None and (seen := self._versions.of(call.sees)) is not None:
            headers["x-min-version"] = str(seen)
        timeout = LONG if call.slow else httpx.USE_CLIENT_DEFAULT
        return http.build_request(
            call.method, call.path, params=call.params, headers=headers, timeout=timeout, **body
        )

    def failed(self, error: httpx.RequestError) -> float:
        """Return how long to wait after a try without an answer, or raise Unreachable.

        A try whose answer did not come in time is the last one: there would be the same work
        again. What may not be done twice is tried again only if it was never sent.
        """
        late = isinstance(error, httpx.TimeoutException) and not isinstance(error, NOTHING_SENT)
        may = self._call.repeatable or isinstance(error, NOTHING_SENT)
        seconds = self._after(None)
        if late or not may or seconds is None:
            raise unreachable(error) from error
        return seconds

    def came(self, response: httpx.Response) -> float | None:
        """Return how long to wait after an answer that asks for patience, or None once it is one.

        Raises Problem or UnexpectedAnswer.
        """
        call = self._call
        usual = response.is_success or response.status_code in call.also
        if usual and not _tells_a_problem(response):
            self.answer = self._read(response)
            return None
        problem = problem_in(response)
        if response.status_code in TRY_LATER and problem.retry_after is not None:
            turned_away = isinstance(problem, Overloaded) and problem.outcome is None
            harmless = turned_away or problem.outcome == "absent"
            refused = problem.status == 429
            seconds = self._after(problem.retry_after)
            if (call.repeatable or harmless or refused) and seconds is not None:
                return seconds
        if isinstance(problem, ReplicaBehind) and call.sees is not None:
            self._versions.forget(call.sees)  # or a gallery made anew would never be seen
        raise problem

    def _after(self, asked: float | None) -> float | None:
        """Return the seconds until the next try, or None if patience has an end before."""
        jitter = random.uniform(0.5, 1)  # noqa: S311 - so that not all come back at once
        seconds = max(asked or 0, self._pause * jitter)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        if seconds > self._patience:
            return None
        self._patience -= seconds
        return seconds

    def _read(self, response: httpx.Response) -> T:
        try:
            answer = self._call.read(response.content)
        except (ValueError, KeyError, TypeError, AttributeError, UnexpectedAnswer) as error:
            message = f"{_strange(response)} ({error})"
            raise UnexpectedAnswer(message, response.status_code) from error
        if self._call.ends is not None:
            self._versions.forget(self._call.ends)
        version = getattr(answer, "version", None)
        if (gallery := self._call.writes) is not None and isinstance(version, int):
            gallery = getattr(answer, "gallery", gallery) if gallery == TOLD else gallery
            self._versions.wrote(gallery, version)
        return answer


def problem_in(response: httpx.Response) -> Problem:
    """Return the problem that an answer tells; raise UnexpectedAnswer if it tells none."""
    try:
        document = json.loads(response.content) if _tells_a_problem(response) else None
    except ValueError:
        document = None
    if not isinstance(document, Mapping):
        raise UnexpectedAnswer(_strange(response), response.status_code)
    return problem_of(document, _seconds(response.headers.get("retry-after")))


def unreachable(error: httpx.RequestError) -> Unreachable:
    """Return what to raise for a try without an answer."""
    where = f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
    what = "nobody listens" if isinstance(error, httpx.ConnectError) else "no whole answer came"
    return Unreachable(f"{what} at {where} ({type(error).__name__}: {error})")


def _tells_a_problem(response: httpx.Response) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == PROBLEM


def _seconds(header: str | None) -> float | None:
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _strange(response: httpx.Response) -> str:
    said: Any = response.text[:100]
    return (
        f"{response.request.method} {response.request.url} answered {response.status_code} "
        f"{response.headers.get('content-type', 'without a type')}, which is not Kindred's: {said}"
    )
