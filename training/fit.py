"""The fit: a recipe and its task in, averaged weights and their history out."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models_store.manifest import ImageInput, Input
from training.heads import ElementwiseHead, Folded
from training.networks import AveragedViews, Towers, untrained
from training.recipe import Export, Recipe
from training.sampling import Rows
from training.tasks import Task

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
HISTORY = "history.json"

MISSED = "fnir"
"""The figure of a validation that is lowest for the best weights."""

Epoch = dict[str, float]
"""One line of the loss history: `epoch`, `loss`, `learning_rate`, `active` where the loss tells
what share of its triplets or pairs still costs anything, and what validation gave."""

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
    report: Callable[[Sequence[Epoch]], None] = lambda _: None,
    progress: Progress = lambda batches, *_: batches,
    step: Callable[[float], None] = lambda _: None,
) -> nn.Module:
    """Train as the recipe says; return the task's encoder, averaged and ready for inference.

    After every epoch a checkpoint and the history are written to `out`, and `report` is given
    the history; after every batch `step` is given the loss. `best.pt` are the averaged weights of
    the validation that missed fewest. Where `out` already holds a checkpoint, the fit goes on
    from there, to the weights that it would have reached had it never stopped. Raises
    RecipeChanged if the checkpoint in `out` is another recipe's.
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
            step(losses[-1])
        due = number + 1 == how.epochs or not (number + 1) % how.validate_every
        line: dict[str, float] = {
            "epoch": number + 1,
            "loss": fmean(losses),
            "learning_rate": float(schedule.get_last_lr()[0]),
            **(validate(task.folded(average.module).eval()) if due else {}),
        }
        if (active := task.active()) is not None:
            line["active"] = active
        history.append(line)
        if MISSED in line and line[MISSED] <= min(each.get(MISSED, 1) for each in history):
            _write(out / BEST, fabric, {"average": average, "objective": loss_of})
        _save(out, fabric, state)
        report(history)
    return task.folded(average.module).eval()


def fitted(recipe: Recipe, out: Path, *, last: bool = False) -> nn.Module:
    """Return the encoder in `out` as the recipe exports it: the best validated, or the last."""
    encoder = untrained(recipe)
    best = out / BEST
    file = best if best.exists() and not last else out / CHECKPOINT
    checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    encoder.load_state_dict(_under("module.", checkpoint["average"]))
    if isinstance(encoder, Towers) and recipe.b:
        encoder.a = _as_seen(encoder.a, recipe.input, recipe.export)
        encoder.b = _as_seen(encoder.b, recipe.b.input, recipe.export)
        return encoder.eval()
    encoder = _as_seen(encoder, recipe.input, recipe.export)
    return _folded(encoder, recipe, checkpoint["objective"]).eval()


def _folded(encoder: nn.Module, recipe: Recipe, objective: dict[str, Tensor]) -> nn.Module:
    """Return an encoder with the element-wise head that was learnt with it, if one was."""
    for number, loss in enumerate(recipe.losses):
        if loss.folds:
            head = ElementwiseHead(
                recipe.network.dimension, "l2" if loss.works_on == "l2" else "l1"
            )
            head.load_state_dict(_under(f"loss.terms.{number}.", objective))
            return Folded(encoder, head)
    return encoder


def _as_seen(encoder: nn.Module, spec: Input, how: Export) -> nn.Module:
    """Return an encoder of pictures averaged over the views that it leaves with."""
    if how.views and isinstance(spec, ImageInput):
        return AveragedViews(encoder, spec.shape, how.views)
    return encoder


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if name.startswith(prefix)
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
    _write(out / CHECKPOINT, fabric, state)
    if fabric.is_global_zero:
        (out / HISTORY).write_text(json.dumps(state["history"], indent=1))


def _write(file: Path, fabric: Fabric, state: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.fresh")
    fabric.save(fresh, state)
    if fabric.is_global_zero:
        fresh.replace(file)
