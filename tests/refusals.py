"""What holds of every refusal, whatever was wrong: told as a problem, cheap, and forgotten."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.drawings import draw, part
from tests.services import Service

CANARY = "c4n4ry"
"""What tests put into the values that they send; no answer and no log line may have it."""

MOST_SECONDS = 1.0
MOST_BYTES = 64 * 2**20
TICK = 1 / os.sysconf("SC_CLK_TCK")


def assert_refused(answer: httpx.Response, status: int, slug: str, *words: str) -> str:
    """Check that an answer is this problem, in form, and that its detail has these words."""
    assert answer.status_code == status, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    problem = answer.json()
    assert problem["type"] == f"/docs/problems.md#{slug}", problem
    assert problem["status"] == status
    assert problem["title"]
    assert problem["instance"] == f"urn:request:{answer.headers['x-request-id']}"
    assert len(answer.content) < 8192
    assert CANARY not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)
    for word in words:
        assert word in problem["detail"], problem["detail"]
    return problem["detail"]


@contextmanager
def cheap(service: Service, *, seconds: float = MOST_SECONDS) -> Iterator[None]:
    """Check that what is done meanwhile costs little, and that the service goes on afterwards.

    Little is a second of processor time of all its processes, and 64 MiB of memory at the most.
    """
    assert service.process is not None
    home = Path(f"/proc/{service.process.pid}")
    (home / "clear_refs").write_text("5")  # the peak is that of now
    before, spent = _memory(home, "VmRSS"), processor_seconds(service.process.pid)
    yield
    spent = processor_seconds(service.process.pid) - spent
    taken = _memory(home, "VmHWM") - before
    assert (spent <= seconds, taken <= MOST_BYTES) == (True, True), (spent, taken)
    good = httpx.post(f"{service.url}/embed", files=[part(draw(1))], data={"comparator": "tiny"})
    assert good.status_code == 200, good.text


def assert_nothing_leaked(service: Service) -> None:
    """Check that no canary got into the log or the metrics, and nothing was a defect."""
    log = service.log.read_text()
    assert CANARY not in log
    assert '"defect"' not in log, log
    assert CANARY not in httpx.get(f"{service.url}/metrics").text


def processes(root: int) -> list[int]:
    """Return a process and all below it."""
    below: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        if fields := _stat(int(path.name)):
            below.setdefault(int(fields[1]), []).append(int(path.name))
    found, new = [], [root]
    while new:
        found += new
        new = [child for parent in new for child in below.get(parent, [])]
    return found


def decoders_of(root: int) -> list[int]:
    """Return the template of a service's decoders and those forked from it, the template first."""
    return [pid for pid in processes(root) if b"service.embedding.decoder" in _words(pid)]


def wait_gone(pids: list[int], seconds: float = 10) -> None:
    """Wait until none of these processes is there, or only as a corpse."""
    until = time.monotonic() + seconds
    while left := [pid for pid in pids if (_stat(pid) or ["Z"])[0] != "Z"]:
        assert time.monotonic() < until, left
        time.sleep(0.02)


def processor_seconds(root: int) -> float:
    """Return the processor time of a process and all below it, the dead included."""
    stats = filter(None, map(_stat, processes(root)))
    return sum(sum(map(int, fields[11:15])) for fields in stats) * TICK


def _stat(pid: int) -> list[str]:
    """Return what /proc/PID/stat has after the name, from the state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _words(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _memory(home: Path, name: str) -> int:
    lines = (home / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024
