"""What choosing triplets costs beside a NumPy loop: python -m benchmarks.triplets --help."""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from training.mining import TRIPLETS, candidates

MARGIN = 0.3
Triplets = list[tuple[int, int, int]]
Choose = Callable[[np.ndarray, np.random.Generator], int | None]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--labels", type=int, default=16)
    asked.add_argument("--samples", type=int, default=10, help="of each label")
    asked.add_argument("--rounds", type=int, default=9)
    options = asked.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    labels = torch.arange(options.labels).repeat_interleave(options.samples)
    centres = torch.randn(options.labels, 64)[labels]
    embeddings = torch.nn.functional.normalize(centres + torch.randn(len(labels), 64), dim=1)
    far = torch.cdist(embeddings, embeddings)
    print(f"{options.labels} labels × {options.samples} samples, one thread")
    for name, choose in CHOICES.items():
        select = TRIPLETS[name]
        found = select(candidates(far, labels, MARGIN))
        looped = loop(far.numpy(), labels.numpy(), choose)
        assert len(found[0]) == len(looped)
        loops, vectors = [], []
        for _ in range(options.rounds):  # in turns, so that a busy machine slows down both
            loops.append(seconds(lambda c=choose: loop(far.numpy(), labels.numpy(), c)))
            vectors.append(seconds(lambda s=select: s(candidates(far, labels, MARGIN))))
        slow, fast = statistics.median(loops), statistics.median(vectors)
        print(
            f"{slow / fast:8.1f} × faster than the loop {fast * 1e3:8.2f} ms  "
            f"{name}, {len(looped)} triplets",
            flush=True,
        )


def loop(far: np.ndarray, labels: np.ndarray, choose: Choose) -> Triplets:
    """Choose a negative for each genuine pair in both directions, one pair after another."""
    rng = np.random.default_rng(0)
    found = []
    for label in np.unique(labels):
        own, others = np.flatnonzero(labels == label), np.flatnonzero(labels != label)
        for anchor, positive in itertools.permutations(own.tolist(), 2):
            costs = far[anchor, positive] - far[anchor, others] + np.float32(MARGIN)
            chosen = choose(costs, rng)
            if chosen is not None:
                found.append((anchor, positive, int(others[chosen])))
    return found


def costliest(costs: np.ndarray, _: np.random.Generator) -> int | None:
    highest = int(costs.argmax())
    return highest if costs[highest] > 0 else None


def any_of(eligible: np.ndarray, rng: np.random.Generator) -> int | None:
    among = np.flatnonzero(eligible)
    return int(rng.choice(among)) if len(among) else None


CHOICES: dict[str, Choose] = {
    "triplet-hardest": costliest,
    "triplet-random-hard": lambda costs, rng: any_of(costs > 0, rng),
    "triplet-semi-hard": lambda costs, rng: any_of((costs > 0) & (costs < MARGIN), rng),
}


def seconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


if __name__ == "__main__":
    main()
