"""Losses by one protocol: the same network, steps, batches and held-out identities for each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric
from matplotlib.figure import Figure as Picture
from torch import nn

from evaluation.figures import nameless
from evaluation.likeness import MAPPED, MAPPED_EACH, places
from evaluation.one_shot import one_shot
from evaluation.open_set_figures import measure_open_set
from evaluation.pair_figures import measure_pairs
from evaluation.pairs import Embedded
from evaluation.plots import embedding_map
from evaluation.report import Figure, Place
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
    something; None of a loss without a margin. `places` is where some identities lie that it
    learnt from, and some that it never saw.
    """

    name: str
    distance: Distance
    figures: tuple[Figure, ...]
    active: float | None
    places: tuple[Place, ...] = ()


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
    blank = recipe.alone(Loss(kind="supcon"))
    mapped = _mapped(train, held_out)
    yield _line("untrained", untrained(blank), held_out, mapped, blank, None)
    for loss in recipe.losses:
        alone = recipe.alone(loss)
        task = labelled_task(alone, train, fabric.global_rank)
        name = _name(loss)
        encoder = fit(alone, task, out / name, fabric, progress=_named(name, progress))
        yield _line(name, encoder, held_out, mapped, alone, task.active())


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


def maps(lines: list[Line]) -> Picture:
    """Return a map for each line: where identities lie, those it learnt from and those unseen."""
    columns = min(3, len(lines))
    picture = Picture(figsize=(5 * columns, 4.6 * -(-len(lines) // columns)), layout="constrained")
    panels = picture.subfigures(-(-len(lines) // columns), columns, squeeze=False).flat
    for panel, line in zip(panels, lines, strict=False):
        panel.suptitle(f"{line.name}: compared by {line.distance}", fontsize=10)
        embedding_map(line.places)(panel)
    return picture


def _named(name: str, progress: Progress) -> Progress:
    return lambda batches, caption, count: progress(batches, f"{name}, {caption}", count)


def _name(loss: Loss) -> str:
    return f"{loss.kind}-{loss.distance}" if loss.distance else loss.kind


def _line(
    name: str,
    encoder: nn.Module,
    held_out: LabelledSamples,
    mapped: LabelledSamples,
    recipe: Recipe,
    active: float | None,
) -> Line:
    # Of scores only the order counts here.
    embedded = embedded_by(encoder, held_out, recipe, lambda far: np.exp(-far))
    some = nameless(embedded_by(encoder, mapped, recipe, np.negative))
    named = replace(some, identities=mapped.identities)
    figures = tuple(_figures(embedded, recipe.seed))
    return Line(name, recipe.distance, figures, active, places(named, recipe.seed))


def _mapped(train: LabelledSamples, held_out: LabelledSamples) -> LabelledSamples:
    """Return samples of some identities learnt from, and of some unseen, who are called so."""
    a, b = _some(train), _some(held_out)
    return LabelledSamples(
        (*a.inputs, *b.inputs),
        np.concatenate([a.labels, b.labels + len(a.identities)]),
        np.zeros(len(a) + len(b), np.int64),
        np.concatenate([a.drawers, b.drawers]),
        (*a.identities, *(f"{name}, unseen" for name in b.identities)),
        ("",),
    )


def _some(read: LabelledSamples) -> LabelledSamples:
    chosen = np.unique(np.linspace(0, len(read.identities) - 1, MAPPED // 2).round().astype(int))
    rows = [np.flatnonzero(read.labels == i)[:MAPPED_EACH] for i in chosen.tolist()]
    return read.only(np.isin(np.arange(len(read)), np.concatenate(rows)))


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
