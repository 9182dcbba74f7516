"""Images a second of a fit, beside a bare torch loop: python -m benchmarks.training --help.

Both train the network of `training/recipes/ink.toml` on the same batches, moved and bent alike,
with the same loss and optimizer, on one thread; the bare loop has no schedule, no averaged
weights, no checkpoint, and nobody who watches.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from benchmarks.ratios import HEAD, Ratio
from tests.services import ROOT
from training.datasets import LabelledSamples
from training.fit import fit
from training.recipe import Recipe, read_recipe
from training.tasks import Task, labelled_task

LABELS, EACH, SIDE = 32, 16, 32


def recipe_of(labels: int) -> Recipe:
    """Return the recipe of `ink`, for one short epoch of batches of so many labels × 4."""
    ink = read_recipe(ROOT / "training" / "recipes" / "ink.toml")
    batches = {"labels": labels, "samples": 4, "quarter_turns": False}
    return ink.model_copy(
        update={
            "batches": ink.batches.model_copy(update=batches),
            "optimisation": ink.optimisation.model_copy(update={"epochs": 1}),
        }
    )


def pictures() -> LabelledSamples:
    """Return pictures of noise, which cost as much as any."""
    rng = np.random.default_rng(0)
    count = LABELS * EACH
    labels = np.repeat(np.arange(LABELS), EACH)
    return LabelledSamples(
        tuple((rng.random((1, SIDE, SIDE), np.float32),) for _ in range(count)),
        labels,
        np.zeros(count, np.int64),
        np.full(count, "somebody"),
        tuple(map(str, range(LABELS))),
        ("all",),
    )


def ours(recipe: Recipe, task: Task) -> None:
    """Fit."""
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    with tempfile.TemporaryDirectory() as folder:
        fit(recipe, task, Path(folder), fabric)


def bare(recipe: Recipe, task: Task) -> None:
    """Do what every tutorial of torch does."""
    optimizer = torch.optim.AdamW(
        task.objective.parameters(), lr=recipe.optimisation.learning_rate
    )
    task.objective.train()
    for rows in task.batches.epoch(0):
        loss = task.objective(*task.feed(rows))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def rows(rounds: int, labels: int = 16) -> list[Ratio]:
    """Return how the fit compares."""
    torch.set_num_threads(1)
    recipe, samples = recipe_of(labels), pictures()

    def rate(train: Callable[[Recipe, Task], None]) -> float:
        task = labelled_task(recipe, samples)
        begun = time.perf_counter()
        train(recipe, task)
        return len(task.batches) * labels * 4 / (time.perf_counter() - begun)

    pairs = [(rate(ours), rate(bare)) for _ in range(rounds + 1)][1:]
    fits, loops = zip(*pairs, strict=True)
    return [Ratio("fit of ink's network", "bare torch loop", "images/s", fits, loops, 0.95)]


def main() -> None:
    """Print the row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(HEAD)
    for row in rows(asked.rounds):
        print(row.line())


if __name__ == "__main__":
    main()
