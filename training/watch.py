"""What is seen of a fit while it runs: figures of identities held out, curves, a map."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from evaluation.figures import nameless, one_shot
from evaluation.likeness import places
from evaluation.open_set import Trial, draw_trial
from evaluation.pairs import Embedded
from evaluation.plots import embedding_map
from index.gallery import distances
from training.datasets import LabelledSamples
from training.fit import MISSED, Epoch
from training.labelled_bundle import embedded_by
from training.recipe import Recipe

ENROLLED = (50, 20, 5)
"""Identities of a gallery: the first of these that there are enough held out for."""

FPIR = 0.05
GALLERIES = 12
ONE_SHOT_TRIALS = 200

CURVES = "curves.png"
MAPS = "maps"
PROJECTOR = "projector"


class Watch:
    """Measures an encoder on identities held out, and keeps pictures of it in a folder.

    After each validation `maps/<epoch>.png` shows where 20 identities lie and `curves.png` how
    loss and figures went. `projector/` has the newest embeddings as TensorBoard's projector reads
    them (https://projector.tensorflow.org): `vectors.tsv`, and `metadata.tsv` with names.
    """

    def __init__(self, held_out: LabelledSamples, recipe: Recipe, out: Path) -> None:
        self._held_out = held_out
        self._recipe = recipe
        self._out = out
        self._newest: Embedded | None = None

    def validate(self, encoder: nn.Module) -> Epoch:
        """Return `fnir` at an FPIR of 5 % and how often one-shot trials come out right.

        Either is left out where too few identities are held out to say.
        """
        self._newest = e = embedded_by(encoder, self._held_out, self._recipe, np.negative)
        found = one_shot(e, self._recipe.seed, within_groups=True, trials=ONE_SHOT_TRIALS)
        missed = open_set_miss_rate(e, self._recipe.seed)
        figures = {figure.name: figure.value for figure in found}
        return figures if missed is None else {MISSED: missed} | figures

    def draw(self, history: Sequence[Epoch]) -> None:
        """Draw the curves, and the map and projector files of what was validated last."""
        self._out.mkdir(parents=True, exist_ok=True)
        _save(curves(history), self._out / CURVES)
        if self._newest is None:
            return
        e, self._newest = self._newest, None
        named = replace(nameless(e), identities=self._held_out.identities)
        figure = Figure(figsize=(6, 5), layout="constrained")
        embedding_map(places(named, self._recipe.seed))(figure)
        (self._out / MAPS).mkdir(exist_ok=True)
        _save(figure, self._out / MAPS / f"{int(history[-1]['epoch']):03}.png")
        projector = self._out / PROJECTOR
        projector.mkdir(exist_ok=True)
        np.savetxt(projector / "vectors.tsv", e.embeddings, fmt="%.6g", delimiter="\t")
        names = "".join(f"{self._held_out.identities[label]}\n" for label in e.labels)
        (projector / "metadata.tsv").write_text(names, encoding="utf-8")


def open_set_miss_rate(embedded: Embedded, seed: int) -> float | None:
    """Return the FNIR where just 5 % of strangers are named, by one sample of each enrolled.

    The mean over a dozen galleries, each at the lowest threshold that keeps to the FPIR on its
    own strangers; None if too few identities are held out.
    """
    for enrolled in ENROLLED:
        random = np.random.default_rng(seed)
        drawn = [draw_trial(embedded, enrolled, "like-cohort", random) for _ in range(GALLERIES)]
        rates = [_miss_rate(trial) for trial in drawn if trial is not None]
        if rates:
            return float(np.mean(rates))
    return None


def curves(history: Sequence[Epoch]) -> Figure:
    """Return a plot of every figure in a fit's history by epoch, each above the other."""
    names = [
        name for name in dict.fromkeys(n for line in history for n in line) if name != "epoch"
    ]
    figure = Figure(figsize=(6, 1.6 * len(names)), layout="constrained")
    for axes, name in zip(
        figure.subplots(len(names), sharex=True, squeeze=False), names, strict=True
    ):
        points = [(line["epoch"], line[name]) for line in history if name in line]
        axes[0].plot(*zip(*points, strict=True), marker=".")
        axes[0].set_title(name, loc="left")
        axes[0].grid(alpha=0.3)
    axes[0].set_xlabel("epoch")
    return figure


def _miss_rate(trial: Trial) -> float:
    e = trial.embedded
    far = distances(e.embeddings[trial.probes], e.embeddings[trial.references], e.metric)
    nearest, strangers = far.min(axis=1), len(trial.strangers)
    owners = e.labels[trial.references][far.argmin(axis=1)]
    threshold = np.quantile(nearest[:strangers], FPIR, method="lower")
    right = (owners == e.labels[trial.probes]) & (nearest < threshold)
    return float(1 - right[strangers:].mean())


def _save(figure: Figure, path: Path) -> None:
    """Write a figure whole or not at all; the same figure is the same file."""
    fresh = path.with_suffix(".fresh.png")
    figure.savefig(fresh, dpi=120, metadata={"Software": None})
    fresh.replace(path)
