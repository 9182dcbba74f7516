"""A bundle's embeddings of labelled samples, as evaluation takes them."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.figures import controls
from evaluation.samples import Samples, as_served, labelled
from models_store.comparator import Comparator
from models_store.manifest import Metric
from training.datasets import LabelledSamples
from training.labelled_bundle import as_embedded, turned
from training.networks import embed, untrained
from training.reading import recipe_of
from training.terminal import shown


def embed_samples(comparator: Comparator, read: LabelledSamples) -> Samples:
    """Return samples as the bundle embeds them, with their names and pictures."""
    blocks = [read.inputs[i : i + 256] for i in range(0, len(read), 256)]
    embeddings = np.concatenate([comparator.embed(block) for block in shown(blocks, "embed")])
    identities = np.array(read.identities)[read.labels]
    groups = np.array(read.group_names)[read.groups]
    is_image = comparator.manifest.encoders["a"].modality == "image"
    return labelled(
        embeddings,
        identities,
        as_served(
            comparator.manifest,
            comparator.digest,
            comparator.cohorts,
            comparator.cohort_groups,
        ),
        # A folder of folders without folders around them has a group for each identity.
        groups=groups if len(read.group_names) < len(read.identities) else None,
        drawers=read.drawers if len(np.unique(read.drawers)) > 1 else None,
        names=[f"{i} {drawer}" for i, drawer in zip(identities, read.drawers, strict=True)],
        title=comparator.title,
        picture=(lambda row: picture_of(read.inputs[row][0])) if is_image else (lambda _: None),
    )


def picture_of(pixels: npt.NDArray[np.float32]) -> bytes:
    """Return what an encoder is given (c, h, w) as a picture, PNG."""
    low, high = float(pixels.min()), float(pixels.max())
    grey = (255 * (pixels - low) / max(high - low, 1e-6)).round().astype(np.uint8)
    shown = io.BytesIO()
    Image.fromarray(grey[0] if len(grey) == 1 else grey.transpose(1, 2, 0)).save(shown, "png")
    return shown.getvalue()


def untrained_figures(
    comparator: Comparator, read: LabelledSamples, seed: int
) -> Iterable[Metric]:
    """Return the figures of the bundle's network before it learnt anything, if it has a recipe."""
    recipe = recipe_of(comparator)
    if recipe is None:
        return ()
    blank = embed(untrained(recipe), read.inputs, recipe.input)
    return controls(as_embedded(blank, read, comparator.score, comparator.manifest.distance), seed)


def write_turned(comparator: Comparator, read: LabelledSamples, path: Path) -> None:
    """Write what else a calibration was made from, where that is characters on their sides."""
    recipe = recipe_of(comparator)
    if recipe is None or not recipe.batches.quarter_turns:
        return
    others = turned(comparator.embed, read, comparator.manifest.distance)
    np.savez(
        path,
        embeddings=others.embeddings,
        identities=others.labels.astype(str),
        groups=np.array(read.group_names)[others.groups],
        of=np.array(read.identities)[others.labels % len(read.identities)],
    )
