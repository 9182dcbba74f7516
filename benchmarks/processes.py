"""Whether several processes on one port pay: python -m benchmarks.processes --help.

A service of one process, as shipped, and others of several, or with other threads, take turns on
all cores. The clients are on the same cores, and cost each of them as much.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.ratios import HEAD, Ratio
from benchmarks.requests import BUNDLES, Row, enroll, served
from tests.services import Service

CONNECTIONS = 32  # the kernel deals them out by chance: with few, one process may get most
CALLS: Mapping[str, Row] = {
    "/embed": Row("/embed", ("files",), CONNECTIONS),
    "/identify": Row("/identify", ("files",), CONNECTIONS),
    "/embed, 64 pictures": Row("/embed", ("files",) * 64, 8, 64),
}
WAYS: Mapping[str, Mapping[str, int]] = {
    "one process": {},
    "two processes": {"processes": 2},
    "one process, one thread a model run": {"threads": 1},
}


def rows(rounds: int, seconds: float) -> Iterator[Ratio]:
    """Yield each way beside one process."""
    rates: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="kindred-processes-") as folder, ExitStack() as stack:
        services = {
            way: stack.enter_context(running(Path(folder) / str(number), settings))
            for number, (way, settings) in enumerate(WAYS.items())
        }
        for number in range(rounds + 1):
            for call, row in CALLS.items():
                for way, service in services.items():
                    assert service.process is not None
                    pace = served(service.url, service.process.pid, row, seconds)
                    if number:  # in the first round each process gets warm
                        rates.setdefault((call, way), []).append(pace.rate)
    for call in CALLS:
        rival, *others = WAYS
        for way in others:
            yield Ratio(
                f"{call}, {way}", rival, "pictures/s", rates[call, way], rates[call, rival]
            )


@contextmanager
def running(data_dir: Path, settings: Mapping[str, int]) -> Iterator[Service]:
    """Start a service that turns nobody away, with somebody enrolled."""
    service = Service(data_dir, BUNDLES, max_wait=2, **settings)
    try:
        enroll(service.start(600).wait_ready(600).url)
        yield service
    finally:
        service.stop()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="in which all take turns")
    asked = parser.parse_args()
    print(HEAD)
    for row in rows(asked.rounds, asked.seconds):
        print(row.line(), flush=True)


if __name__ == "__main__":
    main()
