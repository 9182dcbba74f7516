"""`python -m tests.torture`: the long runs, a JSON line for each figure; `make torture` runs all.

Every run prints its seed, and what it was asked for; exit 1 if any rule was broken.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.torture import network
from tests.torture.clients import Mix
from tests.torture.disks import FSYNC, OnSmallDisk, kill_while_slow
from tests.torture.failover import Failover
from tests.torture.failpoints import Client, kill_at
from tests.torture.kills import torment
from tests.torture.launcher import STEPS
from tests.torture.scene import VICTIMS, Scene, Tally

BULK = Mix(bulk=256, bulks=0.97, forgets=0.01, finds=0.01)


def kills(folder: Path, asked: argparse.Namespace) -> Tally:
    """Kill service and store in turn under clients that enroll in bulk."""
    until = time.monotonic() + asked.seconds
    with Scene(folder, seed=asked.seed, log_length="10000000") as scene:  # judged as a whole

        def tell(gallery: str) -> None:
            report("kills so far", asked, scene.tally, gallery=gallery)

        torment(
            scene,
            kills=asked.n or 200,
            kills_in_a_gallery=10,
            clients=3,
            mix=BULK,
            pause=(0.2, 2 * asked.pause),
            until=until,
            on_judged=tell,
        )
        return scene.tally


def failpoints(folder: Path, asked: argparse.Namespace) -> Tally:
    """Kill at each step of enrolling and forgetting, service, store and both."""
    until = time.monotonic() + asked.seconds
    with Scene(folder, seed=asked.seed, rewrite_store_log="false") as scene:
        client = Client(scene)
        rounds = (asked.n or 660) // (len(STEPS) * len(VICTIMS))
        for round_ in range(max(1, rounds)):
            for number, step in enumerate(STEPS):
                for victim in VICTIMS:
                    if time.monotonic() < until:
                        kill_at(scene, step, victim, client, f"{round_}-{number}-{victim}")
        scene.judge("default", [client])
        return scene.tally


def partitions(folder: Path, asked: argparse.Namespace) -> Tally:
    """Part the primary from the others, stop it or kill it, in turn; Sentinel makes another.

    To part it takes the right to make network namespaces; without, that turn is left out.
    """
    whole = Tally(asked.seed)
    until = time.monotonic() + asked.seconds
    hows = ["cut off", "killed"] if network.why_not() else ["parted", "parted", "killed"]
    for round_ in range(asked.n or 30):
        if time.monotonic() > until:
            break
        how, seed = hows[round_ % len(hows)], asked.seed + round_
        if how == "parted":
            tally = network.partition(folder / str(round_), seed)
        else:
            with Failover(folder / str(round_), seed=seed, services=2) as scene:
                scene.fail_over("g", how)
                tally = scene.tally
        whole.kills[how] = whole.kills.get(how, 0) + 1
        for name in ("operations", "acknowledged", "forgotten", "unknown", "retried"):
            setattr(whole, name, getattr(whole, name) + getattr(tally, name))
        whole.violations += tally.violations
        report(f"{how} so far", asked, whole)
    return whole


def full(folder: Path, asked: argparse.Namespace) -> Tally:
    """Let the store's disk run full under clients, kill, and make room, again and again."""
    until = time.monotonic() + asked.seconds
    with OnSmallDisk(folder, seed=asked.seed, rewrite_store_log="false") as scene:
        for round_ in range(asked.n or 50):
            if time.monotonic() < until:
                scene.fill_up(f"g{round_}")
                scene.drop_gallery(f"g{round_}")
        return scene.tally


def slow(folder: Path, asked: argparse.Namespace) -> Tally:
    """Kill the store in the middle of fsyncs that take 1.5 s."""
    until = time.monotonic() + asked.seconds
    with Scene(folder, seed=asked.seed, store_timeout=4 * FSYNC) as scene:
        for round_ in range((asked.n or 50) // 5):
            if time.monotonic() < until:
                kill_while_slow(scene, f"g{round_}", 5)
        return scene.tally


RUNS: dict[str, Callable[[Path, argparse.Namespace], Tally]] = {
    "kills": kills,
    "failpoints": failpoints,
    "partitions": partitions,
    "full": full,
    "slow": slow,
}


def report(run: str, asked: argparse.Namespace, tally: Tally, **more: Any) -> None:
    """Print one JSON line."""
    figures = {name: value for name, value in asdict(tally).items() if name != "violations"}
    figures |= {
        "kills": sum(tally.kills.values()),
        "of": tally.kills,
        "lost": tally.lost,
        "violations": len(tally.violations),
        "first": [asdict(violation) for violation in tally.violations[:5]],
    }
    where = {"machine": platform.machine(), "cores": os.cpu_count(), "commit": _commit()}
    print(json.dumps({"run": run} | more | figures | where), flush=True)


def _commit() -> str:
    words = ["git", "rev-parse", "--short", "HEAD"]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    return said.stdout.strip()


def main() -> int:
    """Run what is asked for; return 1 if any rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("runs", nargs="*", help=f"of {', '.join(RUNS)}; none: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=0, help="kills or partitions; 0: as published")
    parser.add_argument("--pause", type=float, default=1.0, help="mean seconds between kills")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end a run after that")
    asked = parser.parse_args()
    broken = False
    for name in asked.runs or RUNS:
        with tempfile.TemporaryDirectory(prefix="kindred-torture-") as folder:
            tally = RUNS[name](Path(folder) / name, asked)
        report(name, asked, tally)
        broken = broken or bool(tally.violations)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
