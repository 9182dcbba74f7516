"""Losses by one protocol: the same network, steps, batches and held-out identities for each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric
from torch import nn

from evaluation.figures import nameless
from evaluation.one_shot import one_shot
from evaluation.open_set_figures import measure_open_set
from evaluation.pair_figures import measure_pairs
from evaluation.pairs import Embedded
from evaluation.report import Figure
from models_store.manifest import Distance
from training.datasets import LabelledSamples
from training.fit import Progress, fit
from training.labelled_bundle import embedded_by
from training.networks import untrained
from training.recipe import Loss, Recipe
from training.tasks import labelled_task

ENROLLED = 50
FPIR = 0.05
COLUMNS = (
    f"FNIR at FPIR {100 * FPIR:g} %, N = {ENROLLED}",
    "EER over all pairs",
    "one-shot among all",
    "one-shot within groups",
)


@dataclass(frozen=True, slots=True)
class Line:
    """What a loss comes to on identities held out, in the order of COLUMNS.

    `active` is the share of the last batch's triplets or impostor pairs that still cost
    something; None of a loss without a margin.
    """

    name: str
    distance: Distance
    figures: tuple[Figure, ...]
    active: float | None


def compare(
    recipe: Recipe,
    train: LabelledSamples,
    held_out: LabelledSamples,
    out: Path,
    fabric: Fabric,
    progress: Progress = lambda batches, *_: batches,
) -> Iterator[Line]:
    """Fit the recipe once with each of its losses alone; yield a line for each, untrained first.

    Each fit has a folder of its own in `out` and goes on from what it finds there. Embeddings are
    compared by the distance that the loss has, with a learnt element-wise head folded in.
    """
    unlearnt = recipe.model_copy(update={"losses": (Loss(kind="supcon"),)})
    yield _line("untrained", untrained(recipe), held_out, unlearnt, None)
    for loss in recipe.losses:
        alone = recipe.model_copy(update={"losses": (loss,)})
        task = labelled_task(alone, train, fabric.global_rank)
        name = _name(loss)
        encoder = fit(alone, task, out / name, fabric, progress=_named(name, progress))
        yield _line(name, encoder, held_out, alone, task.active())


def markdown(lines: list[Line]) -> str:
    """Return the table, best FNIR first, as it stands in docs/evidence.md."""
    head = ("loss", "compared by", *COLUMNS, "still active")
    rows = [
        (
            line.name,
            line.distance,
            *map(_told, line.figures),
            "" if line.active is None else f"{line.active:.2f}",
        )
        for line in sorted(lines, key=lambda line: _order(line.figures))
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _named(name: str, progress: Progress) -> Progress:
    return lambda batches, caption, count: progress(batches, f"{name}, {caption}", count)


def _name(loss: Loss) -> str:
    return f"{loss.kind}-{loss.distance}" if loss.distance else loss.kind


def _line(
    name: str,
    encoder: nn.Module,
    held_out: LabelledSamples,
    recipe: Recipe,
    active: float | None,
) -> Line:
    # Of scores only the order counts here.
    embedded = embedded_by(encoder, held_out, recipe, lambda far: np.exp(-far))
    return Line(name, recipe.distance, tuple(_figures(embedded, recipe.seed)), active)


def _figures(embedded: Embedded, seed: int) -> Iterator[Figure]:
    """Yield the figures of COLUMNS; FNIR is at the lowest threshold that keeps to the FPIR."""
    rows = measure_open_set(nameless(embedded), None, seed, sizes=(ENROLLED,)).open_set.rows
    yield next(
        (
            row.fnir
            for row in rows
            if (row.strangers, row.samples) == ("like-cohort", 1)
            and (row.decision, row.asked) == ("oracle", FPIR)
        ),
        Figure(counted="nobody", too_few=f"{ENROLLED} identities and strangers are needed"),
    )
    yield measure_pairs(embedded, seed).section.eer
    drawn = len(np.unique(embedded.drawers)) > 1
    for within in (False, True):
        yield one_shot(embedded, seed, within_groups=within, drawn=drawn)


def _told(figure: Figure) -> str:
    if figure.value is None:
        return "–"
    low, high = figure.interval or (figure.value, figure.value)
    return f"{figure.value:.3f} ({low:.3f}–{high:.3f})"


def _order(figures: tuple[Figure, ...]) -> tuple[float, ...]:
    """Return what sorts lines: FNIR, then EER, what is missing last."""
    return tuple(2.0 if figure.value is None else figure.value for figure in figures[:2])
