"""`python -m tests.fuzz.soak --n N --seed S`: mixed requests for long, and what is left of them.

Good and bad requests of every route, from four connections at a time. After a warm-up by a crowd,
which fills every pool, the resident memory of the service must not rise, and threads, descriptors,
processes and files must settle. Prints one line of JSON.
"""

import argparse
import json
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
from scipy.stats import linregress, t

from tests.drawings import as_json, draw, part
from tests.fuzz.requests import start
from tests.refusals import processes
from tests.services import Service

CLIENTS = 4
CROWD = 16  # … before and after: more at once than a pool has threads
MOST_ROUNDS = 20
MOST_IN_A_ROUND = 5000  # requests: the soak is long, what settles need not be
STEADY = 4  # of these in a row must leave all as it was
LOOKS = 40  # at the memory, after the warm-up
MOST_GROWTH = 16 * 2**20
PEOPLE = 30
GALLERY = {"gallery": "soak"}


def one(client: httpx.Client, rng: np.random.Generator) -> int:
    """Send one request, and return its status."""
    who, take = int(rng.integers(PEOPLE)), int(rng.integers(50))
    drawing, vector = draw(who, take), rng.standard_normal(32)
    ready = {"embedding": (vector / np.linalg.norm(vector)).tolist()}
    match int(rng.integers(14)):
        case 0 | 1:
            answer = client.post("/identify", data=GALLERY, files=[part(drawing)])
        case 2 | 3:
            answer = client.post("/identify", json=GALLERY | {"files": [ready]})
        case 4 | 5:
            data = GALLERY | {"identity": f"p{who}"}
            answer = client.post("/enroll", data=data, files=[part(drawing)])
        case 6 | 7:
            answer = client.delete(f"/galleries/soak/identities/p{who}")
        case 8:
            answer = client.post("/embed", files=[part(drawing), part(b"none")])
        case 9:
            answer = client.post("/verify", json={"a": as_json(drawing), "b": ready})
        case 10:
            answer = client.post("/cluster", files=[part(draw(i, take)) for i in range(6)])
        case 11:
            answer = client.post("/identify", content=rng.bytes(int(rng.integers(5000))))
        case 12:
            path = ["/galleries/soak/health", "/metrics", "/galleries", "/nothing", "/comparators"]
            answer = client.get(path[int(rng.integers(len(path)))])
        case _:
            lines = [{"identity": f"p{who}"} | ready, {"identity": ""}]
            body = "\n".join(map(json.dumps, lines))
            answer = client.post("/enroll/bulk", params=GALLERY, content=body)
    return answer.status_code


def soak(service: Service, n: int, seed: int) -> dict[str, object]:
    """Send n requests after a warm-up, and return what they left."""
    assert service.process is not None
    home = Path(f"/proc/{service.process.pid}")
    statuses: Counter[str] = Counter()
    with ExitStack() as stack:
        clients = [stack.enter_context(service.client()) for _ in range(CROWD)]
        clients[0].post("/galleries", json={"name": "soak"}).raise_for_status()
        some = int(np.clip(n // 10, 400, MOST_IN_A_ROUND))
        _settle(clients, some, seed + 1, lambda: _counts(service, home))
        before, looks = _counts(service, home), []
        for look in range(LOOKS):
            _send(clients[:CLIENTS], n // LOOKS, seed + 2 + look, statuses)
            looks.append(_resident(home))
        settled = _settle(clients, some, seed + 2 + LOOKS, lambda: _counts(service, home))
        after = _counts(service, home)
    slope = linregress(range(LOOKS), looks)
    bound = slope.slope + t.ppf(0.95, LOOKS - 2) * slope.stderr
    return {
        "n": n,
        "seed": seed,
        "statuses": dict(sorted(statuses.items())),
        "resident_mib": [round(looks[0] / 2**20, 1), round(looks[-1] / 2**20, 1)],
        "grew_mib": round((np.mean(looks[-5:]) - np.mean(looks[:5])) / 2**20, 2),
        "grows_at_most_mib_per_million": round(bound * LOOKS / n * 1e6 / 2**20, 1),
        "settled": settled,
        "before": before,
        "after": after,
    }


def _settle(
    clients: Sequence[httpx.Client], n: int, seed: int, counts: Callable[[], dict[str, int]]
) -> bool:
    """Send requests, n at a time, until some rounds in a row left all as it was before them.

    Returns whether they did.
    """
    rounds = [counts()]
    for round_ in range(MOST_ROUNDS):
        _send(clients, n, seed + round_, Counter())
        rounds.append(counts())
        if len(rounds) > STEADY and all(each == rounds[-1] for each in rounds[-STEADY:]):
            return True
    return False


def _send(clients: Sequence[httpx.Client], n: int, seed: int, statuses: Counter[str]) -> None:
    found: list[Counter[str]] = [Counter() for _ in clients]

    def go(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        for _ in range(n // len(clients)):
            try:
                found[number][str(one(clients[number], rng))] += 1
            except httpx.TransportError:  # a machine that stalls longer than the client waits
                found[number]["none"] += 1

    threads = [threading.Thread(target=go, args=(number,)) for number in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for counts in found:
        statuses.update(counts)


def _counts(service: Service, home: Path) -> dict[str, int]:
    """Return what a service has of that which must not grow."""
    assert service.process is not None
    return {
        "threads": len(list((home / "task").iterdir())),
        "descriptors": len(list((home / "fd").iterdir())),
        "processes": len(processes(service.process.pid)),
        "temporary_files": len(list((service.data_dir.parent / "tmp").iterdir())),
    }


def _resident(home: Path) -> int:
    lines = (home / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024


def main() -> None:
    """Soak, and print what it left; exit 1 if that is too much."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tmp").mkdir()
        os.environ["TMPDIR"] = str(Path(folder) / "tmp")  # the service's alone
        service = start(Path(folder))
        try:
            told = soak(service, options.n, options.seed)
        finally:
            ended = service.stop()
        told["defects"] = service.log.read_text().count('"defect"')
    print(json.dumps(told | {"exit": ended}))
    grew = not told["settled"] or told["grew_mib"] * 2**20 > MOST_GROWTH
    raise SystemExit(bool(grew or told["defects"] or ended))


if __name__ == "__main__":
    main()
