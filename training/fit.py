"""The fit: a recipe and its task in, averaged weights and their history out."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models_store.manifest import ImageInput
from training.networks import AveragedViews, untrained
from training.recipe import Recipe
from training.sampling import Rows
from training.tasks import Task

CHECKPOINT = "checkpoint.pt"
HISTORY = "history.json"

Epoch = dict[str, float]
"""One line of the loss history: `epoch`, `loss`, `learning_rate`, and what validation gave."""

Progress = Callable[[Iterable[Rows], str, int], Iterable[Rows]]
"""Wraps an epoch's batches to show how far it is: the batches, a caption, how many there are."""


class RecipeChanged(Exception):
    """The checkpoint to resume from was made by another recipe."""


def fit(
    recipe: Recipe,
    task: Task,
    out: Path,
    fabric: Fabric,
    *,
    validate: Callable[[nn.Module], Epoch] = lambda _: {},
    report: Callable[[Epoch], None] = lambda _: None,
    progress: Progress = lambda batches, *_: batches,
) -> nn.Module:
    """Train as the recipe says; return the task's encoder, averaged and ready for inference.

    After every epoch a checkpoint and the history are written to `out`. Where `out` already
    holds a checkpoint, the fit goes on from there, to the weights that it would have reached
    had it never stopped. Raises RecipeChanged if the checkpoint in `out` is another recipe's.
    """
    how, batches, encoder = recipe.optimisation, task.batches, task.encoder
    learnt = {id(weight) for weight in encoder.parameters()}
    proxies = [weight for weight in task.objective.parameters() if id(weight) not in learnt]
    optimizer = torch.optim.AdamW(
        [
            {"params": list(encoder.parameters()), "weight_decay": how.weight_decay},
            {"params": proxies, "weight_decay": 0.0},
        ]
    )
    peaks = [how.learning_rate, how.proxy_learning_rate]
    steps = how.epochs * len(batches)
    schedule = OneCycleLR(optimizer, peaks, steps, pct_start=how.warm_up)
    average = AveragedModel(
        encoder,
        multi_avg_fn=get_ema_multi_avg_fn(how.average_decay),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )
    loss_of, optimizer = fabric.setup(task.objective, optimizer)
    fabric.to_device(average)
    state: dict[str, Any] = {
        "recipe": recipe.model_dump_json(exclude={"export", "card"}),  # they change no weights
        "history": [],
        "objective": loss_of,
        "average": average,
        "optimizer": optimizer,
        "schedule": schedule,
    }
    _resume(out, fabric, state)
    history = state["history"]

    for number in range(len(history), how.epochs):
        torch.manual_seed(recipe.seed + 7919 * (number + 1) + fabric.global_rank)
        loss_of.train()
        losses = []
        shown = progress(batches.epoch(number), f"epoch {number + 1}/{how.epochs}", len(batches))
        for rows in shown:
            loss = loss_of(*map(fabric.to_device, task.feed(rows)))
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            schedule.step()
            average.update_parameters(encoder)
            losses.append(loss.item())
        last = number + 1 == how.epochs
        line: dict[str, float] = {
            "epoch": number + 1,
            "loss": fmean(losses),
            "learning_rate": float(schedule.get_last_lr()[0]),
            **(validate(average.eval()) if last or not (number + 1) % how.validate_every else {}),
        }
        history.append(line)
        _save(out, fabric, state)
        report(line)
    return average.module.eval()


def fitted(recipe: Recipe, out: Path) -> nn.Module:
    """Return the encoder of the checkpoint in `out` as the recipe exports it."""
    encoder = untrained(recipe)
    encoder.load_state_dict(_averaged_weights(out))
    if recipe.export.views and isinstance(recipe.input, ImageInput):
        encoder = AveragedViews(encoder, recipe.input.shape, recipe.export.views)
    return encoder.eval()


def _averaged_weights(out: Path) -> dict[str, Tensor]:
    checkpoint = torch.load(out / CHECKPOINT, map_location="cpu", weights_only=True)
    return {
        name.removeprefix("module."): value
        for name, value in checkpoint["average"].items()
        if name.startswith("module.")
    }


def _resume(out: Path, fabric: Fabric, state: dict[str, Any]) -> None:
    recipe = state["recipe"]
    if not (out / CHECKPOINT).exists():
        return
    fabric.load(out / CHECKPOINT, state)
    if state["recipe"] != recipe:
        raise RecipeChanged(f"{out / CHECKPOINT} was made by another recipe: fit to a new folder")


def _save(out: Path, fabric: Fabric, state: dict[str, Any]) -> None:
    """Write checkpoint and history whole or not at all: a kill may come at any moment."""
    out.mkdir(parents=True, exist_ok=True)
    fresh = out / f"{CHECKPOINT}.fresh"
    fabric.save(fresh, state)
    if fabric.is_global_zero:
        fresh.replace(out / CHECKPOINT)
        (out / HISTORY).write_text(json.dumps(state["history"], indent=1))
