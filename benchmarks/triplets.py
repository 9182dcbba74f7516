"""What choosing triplets costs beside a NumPy loop and pytorch-metric-learning's own miner.

python -m benchmarks.triplets --help
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from pytorch_metric_learning.utils.loss_and_miner_utils import get_all_triplets_indices

from benchmarks.ratios import HEAD, Ratio
from training.mining import TRIPLETS, candidates, every

MARGIN = 0.3
Triplets = list[tuple[int, int, int]]
Choose = Callable[[np.ndarray, np.random.Generator], int | None]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--labels", type=int, default=16)
    asked.add_argument("--samples", type=int, default=10, help="of each label")
    asked.add_argument("--rounds", type=int, default=9)
    options = asked.parse_args()
    print(HEAD)
    for row in rows(options.rounds, options.labels, options.samples):
        print(row.line(), flush=True)


def rows(rounds: int, each: int = 16, samples: int = 10) -> Iterator[Ratio]:
    """Yield how each choice compares, for a batch of so many labels, on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    labels = torch.arange(each).repeat_interleave(samples)
    centres = torch.randn(each, 64)[labels]
    embeddings = torch.nn.functional.normalize(centres + torch.randn(len(labels), 64), dim=1)
    far = torch.cdist(embeddings, embeddings)
    size = f"{each} labels × {samples}"
    for name, choose in CHOICES.items():
        select = TRIPLETS[name]
        found = select(candidates(far, labels, MARGIN))
        looped = loop(far.numpy(), labels.numpy(), choose)
        assert len(found[0]) == len(looped)
        fast, slow = in_turns(
            rounds,
            lambda s=select: s(candidates(far, labels, MARGIN)),
            lambda c=choose: loop(far.numpy(), labels.numpy(), c),
        )
        note = f"{len(looped)} triplets"
        yield Ratio(f"{name} of {size}", "NumPy loop", "ms", fast, slow, 10, note)
    assert len(get_all_triplets_indices(labels)[0]) == len(
        every(candidates(far, labels, MARGIN))[0]
    )
    fast, slow = in_turns(
        rounds,
        lambda: every(candidates(far, labels, MARGIN)),
        lambda: get_all_triplets_indices(labels),
    )
    yield Ratio(f"every triplet of {size}", "pytorch-metric-learning", "ms", fast, slow)


def in_turns(
    rounds: int, ours: Callable[[], object], theirs: Callable[[], object]
) -> tuple[list[float], list[float]]:
    """Return the milliseconds of both, in turns, so that a busy machine slows down both."""
    pairs = [(1e3 * seconds(ours), 1e3 * seconds(theirs)) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


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
