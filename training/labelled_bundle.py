"""A fitted encoder of labelled samples → its bundle, calibrated on identities held out."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from evaluation.calibration import calibrate, score_of
from evaluation.engine import Progress
from evaluation.figures import controls
from evaluation.figures import evaluate as figures_of
from evaluation.pairs import Embedded
from index.gallery import Embeddings
from index.roster import Score
from models_store.comparator import Comparator
from models_store.manifest import Distance, Provenance, TrainingSource
from models_store.preparation import Windows
from training.datasets import LabelledSamples
from training.export import TrainedEncoder, encoder_graph, export_bundle
from training.networks import embed, untrained
from training.precision import Converted, Weights, converted
from training.recipe import Recipe

EXAMPLES = 6  # test vectors in a bundle
TURNED = 9  # samples of an identity by each quarter turn: 8 to enroll, and one to probe with


def export_labelled(
    recipe: Recipe,
    encoder: nn.Module,
    samples: LabelledSamples,
    out: Path,
    weights: Weights,
    progress: Progress,
) -> Comparator:
    """Calibrate a fitted encoder on identities held out and write its bundle."""
    if weights != "float32":
        whole = encoder_graph(TrainedEncoder(encoder, recipe.input, samples.inputs[:2]))
        encoder = Converted(converted(whole, weights, samples.inputs, recipe.input))

    def embed_some(inputs: Sequence[Windows]) -> Embeddings:
        return embed(encoder, inputs, recipe.input, normalised=recipe.normalised)

    embeddings = embed_some(samples.inputs)
    held_back = np.isin(samples.identities, recipe.data.held_back)
    free = ~held_back[samples.labels]
    calibrated = calibrate(
        as_embedded(embeddings, samples, np.negative, recipe.distance).only(free),
        recipe.seed,
        turned(embed_some, samples.only(free), recipe.distance)
        if recipe.batches.quarter_turns
        else None,
        by_group=recipe.export.by_group,
    )
    embedded = as_embedded(embeddings, samples, score_of(calibrated.head), recipe.distance)
    blank = replace(embedded, embeddings=embed(untrained(recipe), samples.inputs, recipe.input))
    metrics = (*figures_of(embedded, recipe.seed, progress), *controls(blank, recipe.seed))
    return export_bundle(
        out,
        TrainedEncoder(
            encoder, recipe.input, samples.inputs[:: len(samples) // EXAMPLES][:EXAMPLES]
        ),
        name=recipe.name if weights == "float32" else f"{recipe.name}-{weights}",
        version=recipe.version,
        description=recipe.description,
        licence=recipe.licence,
        distance=recipe.distance,
        normalised=recipe.normalised,
        calibrated=calibrated,
        cohort=_strangers(embeddings[free], samples.only(free)),
        cohort_groups=_group_of(samples.only(free)) if recipe.export.by_group else None,
        metrics=metrics,
        provenance=provenance_of(recipe),
        words=recipe.card,
    )


def embedded_by(
    encoder: nn.Module, read: LabelledSamples, recipe: Recipe, score: Score
) -> Embedded:
    """Return what an encoder makes of samples, to be compared as its losses do."""
    embeddings = embed(encoder, read.inputs, recipe.input, normalised=recipe.normalised)
    return as_embedded(embeddings, read, score, recipe.distance)


def as_embedded(
    embeddings: Embeddings, read: LabelledSamples, score: Score, metric: Distance
) -> Embedded:
    """Return embeddings (n, d) with whose they are, of n samples that were read."""
    return Embedded(embeddings, read.labels, read.groups, read.drawers, metric, score)


def _strangers(embeddings: Embeddings, read: LabelledSamples) -> Embeddings:
    """Return one embedding (m, d) of each identity, of the drawers in turn."""
    rows = [np.flatnonzero(read.labels == i) for i in range(len(read.identities))]
    return embeddings[[own[i % len(own)] for i, own in enumerate(rows)]]


def _group_of(read: LabelledSamples) -> npt.NDArray[np.int64]:
    groups = np.zeros(len(read.identities), np.int64)
    groups[read.labels] = read.groups
    return groups


def turned(
    embed_some: Callable[[Sequence[Windows]], Embeddings], read: LabelledSamples, metric: Distance
) -> Embedded:
    """Return some samples of each identity by each quarter turn, which makes it somebody else.

    They are less alike to upright characters than upright strangers are, so a cohort of them
    would promise too much: asked for 5 %, it named 7 % of upright strangers. To enroll and to
    probe by, they make the large galleries that upright characters are too few for.
    """
    rows = np.concatenate(
        [np.flatnonzero(read.labels == i)[:TURNED] for i in range(len(read.identities))]
    )
    turns = (1, 2, 3)
    turned = [
        (np.ascontiguousarray(np.rot90(read.inputs[row][0], turn, axes=(1, 2))),)
        for turn in turns
        for row in rows
    ]
    return Embedded(
        np.concatenate([embed_some(turned[i : i + 256]) for i in range(0, len(turned), 256)]),
        np.concatenate([read.labels[rows] + turn * len(read.identities) for turn in turns]),
        np.tile(read.groups[rows], len(turns)),
        np.tile(read.drawers[rows], len(turns)),
        metric,
        np.negative,
    )


def provenance_of(recipe: Recipe) -> Provenance:
    """Return what a bundle's weights come from: data, recipe, seed, and the commit checked out."""
    git = shutil.which("git")
    head = [git, "rev-parse", "--verify", "--quiet", "HEAD"] if git else ["false"]
    found = subprocess.run(head, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    return Provenance(
        sources=(
            TrainingSource(
                name=recipe.data.name, licence=recipe.data.licence, source=recipe.data.url
            ),
            *recipe.data.further,
        ),
        recipe=recipe.model_dump(mode="json", exclude={"card"}),
        seed=recipe.seed,
        commit=found.stdout.strip() or None,
    )
