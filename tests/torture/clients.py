"""Clients that enroll, forget and look for, and note what they were told."""

import http.client
import json
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.torture.audit import Sample, draw_samples
from tests.torture.history import History, Operation, Outcome

PATIENCE = 20.0  # seconds for one answer
REST = 0.05  # seconds after a call that was not answered


@dataclass
class Mix:
    """What a client does: each a share of its calls."""

    bulk: int = 0  # lines of one bulk request; 0: no bulk
    bulks: float = 0.0
    forgets: float = 0.1
    finds: float = 0.15


class Client(threading.Thread):
    """One client: it waits for each answer, and asks again where the outcome is unknown."""

    def __init__(
        self,
        name: str,
        url: str,
        gallery: str,
        history: History,
        rng: np.random.Generator,
        mix: Mix | None = None,
        dimension: int = 8,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.url = url
        self.sent: list[Sample] = []  # all that may be there
        self.gone: list[Sample] = []  # what was forgotten, for certain
        self._gallery = gallery
        self._history = history
        self._rng = rng
        self._mix = mix or Mix()
        self._dimension = dimension
        self._stop_asked = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._kept: dict[str, Sample] = {}
        self._version = 0
        self._made = 0

    def stop(self) -> None:
        """Do no more than what is begun."""
        self._stop_asked.set()

    def run(self) -> None:
        """Call on and on."""
        while not self._stop_asked.is_set():
            drawn = self._rng.random()
            if drawn < self._mix.bulks:
                self._enroll_many()
            elif drawn < self._mix.bulks + self._mix.forgets and self._kept:
                self._forget()
            elif drawn < self._mix.bulks + self._mix.forgets + self._mix.finds and self._kept:
                self._find()
            else:
                self._enroll()
        if self._connection:
            self._connection.close()

    def _enroll(self) -> None:
        """Enroll one sample with an idempotency key, until the outcome is known."""
        identity, sample = self._new(1)[0]
        operation = Operation(
            self.name, "enroll", self._gallery, sample.fingerprint, identity, key=identity
        )
        body = {"gallery": self._gallery, "identity": identity, "files": [_json(sample)]}
        while (done := self._call(operation, "POST", "/enroll", body)).outcome == "unknown":
            if self._stop_asked.is_set():
                return
            operation = replace(operation, retried=True)
        if done.acknowledged:
            self._kept[identity] = sample

    def _forget(self) -> None:
        identity = str(self._rng.choice(list(self._kept)))
        sample = self._kept.pop(identity)
        operation = Operation(self.name, "forget", self._gallery, "", identity)
        path = f"/galleries/{self._gallery}/identities/{identity}"
        if self._call(operation, "DELETE", path).outcome == "ok":
            self.gone.append(sample)

    def _find(self) -> None:
        identity = str(self._rng.choice(list(self._kept)))
        sample = self._kept[identity]
        operation = Operation(
            self.name,
            "find",
            self._gallery,
            sample.fingerprint,
            identity,
            min_version=self._version,
        )
        body = {"gallery": self._gallery, "files": [_json(sample)], "k": 1, "top": 1}
        self._call(operation, "POST", "/identify", body)

    def _enroll_many(self) -> None:
        """Enroll many in one request, and those of unknown outcome again."""
        lines, again = self._new(self._mix.bulk), False
        while lines and not self._stop_asked.is_set():
            lines = self._bulk(lines, again=again)
            again = True

    def _bulk(self, lines: list[tuple[str, Sample]], *, again: bool) -> list[tuple[str, Sample]]:
        """Send lines; return those of which it is not known what became of them."""
        if not self._connected():
            return lines
        body = b"".join(
            json.dumps({"identity": identity} | _json(sample)).encode() + b"\n"
            for identity, sample in lines
        )
        # A line is a client of its own: 64 of them are under way at a time.
        calls = [
            self._history.invoke(
                Operation(
                    f"{self.name}/{identity}",
                    "enroll",
                    self._gallery,
                    sample.fingerprint,
                    identity,
                    retried=again,
                )
            )
            for identity, sample in lines
        ]
        done = 0
        unknown = []
        try:
            response = self._ask("POST", f"/enroll/bulk?gallery={self._gallery}", body)
            if response.status != 200:
                response.read()
                raise ConnectionError(response.status)
            for answer in response:
                said = json.loads(answer)
                status = said["problem"]["status"] if "problem" in said else 200
                outcome = outcome_of(status)
                self._history.end(calls[done], outcome, status=status, version=said.get("version"))
                if outcome == "unknown":
                    unknown.append(lines[done])
                done += 1
        except (OSError, http.client.HTTPException, ValueError):
            self._hang_up()
        for call in calls[done:]:
            self._history.end(call, "unknown")
        return unknown + lines[done:]

    def _new(self, n: int) -> list[tuple[str, Sample]]:
        samples = draw_samples(self._rng, n, self._dimension)
        self.sent += samples
        first, self._made = self._made, self._made + n
        return [(f"{self.name}-{first + i}", sample) for i, sample in enumerate(samples)]

    def _call(
        self, operation: Operation, method: str, path: str, body: dict[str, Any] | None = None
    ) -> Operation:
        if not self._connected():
            return operation  # nothing was sent
        number = self._history.invoke(operation)
        headers = {"Idempotency-Key": operation.key} if operation.key else {}
        if operation.kind == "find":
            headers = {"X-Min-Version": str(operation.min_version)}
        try:
            response = self._ask(
                method, path, json.dumps(body).encode() if body else None, headers
            )
            said = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            self._hang_up()
            return self._history.end(number, "unknown")
        outcome = outcome_of(response.status)
        found = None
        if operation.kind == "find" and outcome == "ok":
            named = said["results"][0]["candidates"]
            found = bool(named) and named[0]["identity"] == operation.identity
        version = said.get("version")
        if outcome == "ok":
            self._version = max(self._version, version)
        else:
            time.sleep(REST)
        return self._history.end(
            number, outcome, status=response.status, version=version, found=found
        )

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        assert self._connection is not None
        plain = path.startswith("/enroll/bulk")
        media = "application/x-ndjson" if plain else "application/json"
        self._connection.request(method, path, body, {"Content-Type": media} | (headers or {}))
        return self._connection.getresponse()

    def _connected(self) -> bool:
        """Wait until somebody listens; return False when asked to stop before that."""
        while self._connection is None and not self._stop_asked.is_set():
            host = self.url.removeprefix("http://")
            connection = http.client.HTTPConnection(host, timeout=PATIENCE)
            try:
                connection.connect()
            except OSError:
                time.sleep(REST)
            else:
                self._connection = connection
        return self._connection is not None

    def _hang_up(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None
        time.sleep(REST)


def outcome_of(status: int) -> Outcome:
    """Return what an HTTP status promises."""
    if 200 <= status < 300:
        return "ok"
    return "fail" if 400 <= status < 500 else "unknown"


def _json(sample: Sample) -> dict[str, Any]:
    return {"embedding": sample.values.tolist()}
