"""What clients asked and what they were told: the only witness of a fault test."""

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

Kind = Literal["enroll", "forget", "find"]
Outcome = Literal["ok", "fail", "unknown"]

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of one client, who waits for each answer before the next call.

    `enroll` keeps `sample` under `identity`, `forget` takes the identity away with all its
    samples, and `find` asks for the nearest sample of `sample`, on a replica that is at least at
    `min_version`. `ok` is a 2xx, `fail` an answer that promises that nothing was done, `unknown`
    everything else: 503, 504, or a connection that broke.
    """

    client: str
    kind: Kind
    gallery: str
    sample: str  # its fingerprint; of a deletion ''
    identity: str = ""
    key: str = ""  # an idempotency key
    min_version: int = 0
    begun: float = 0.0
    ended: float = NEVER
    outcome: Outcome = "unknown"
    status: int | None = None  # of HTTP; None: no answer came
    version: int | None = None  # that the answer told
    retried: bool = False  # the same call was made before, and its outcome was unknown
    found: bool | None = None  # whether `find` named `sample`

    @property
    def acknowledged(self) -> bool:
        """Whether the service has promised that it is done."""
        return self.outcome == "ok"

    @property
    def attempted(self) -> bool:
        """Whether it may have been done."""
        return self.outcome != "fail"


class History:
    """A log of operations, in memory and as JSON lines of what was invoked and what came back.

    An operation that was invoked and never ended is unknown, and may take effect at any time.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._operations: dict[int, Operation] = {}
        self._next = 0
        self._file = path.open("a") if path else None

    def invoke(self, operation: Operation) -> int:
        """Note that a call begins; return its number."""
        operation = replace(operation, begun=time.monotonic())
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._operations[number] = operation
            self._write("invoke", number, operation)
            return number

    def end(
        self,
        number: int,
        outcome: Outcome,
        *,
        status: int | None = None,
        version: int | None = None,
        found: bool | None = None,
    ) -> Operation:
        """Note how a call ended; return it whole.

        An unknown one has no end: what was sent may still lie in a buffer somewhere.
        """
        ended = NEVER if outcome == "unknown" else time.monotonic()
        with self._lock:
            operation = replace(
                self._operations[number],
                ended=ended,
                outcome=outcome,
                status=status,
                version=version,
                found=found,
            )
            self._operations[number] = operation
            self._write(outcome, number, operation)
            return operation

    @property
    def operations(self) -> list[Operation]:
        """Every operation, in the order in which they began."""
        with self._lock:
            return list(self._operations.values())

    def forget(self, galleries: Iterable[str]) -> None:
        """Let go of galleries that were checked and are deleted."""
        gone = set(galleries)
        with self._lock:
            kept = {n: o for n, o in self._operations.items() if o.gallery not in gone}
            self._operations = kept

    def close(self) -> None:
        """Write what is left."""
        if self._file:
            self._file.close()

    def _write(self, event: str, number: int, operation: Operation) -> None:
        if self._file:
            told = {name: v for name, v in asdict(operation).items() if v not in ("", None, NEVER)}
            self._file.write(json.dumps({"event": event, "operation": number} | told) + "\n")
