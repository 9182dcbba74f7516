"""Labelled samples of two encoders: of both sides in folders, or captions and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import typer

from evaluation.samples import Samples, as_served, labelled
from models_store.comparator import Comparator
from models_store.manifest import Side
from models_store.preparation import Windows
from models_store.sample import Sample
from training.captions import Captioned
from training.datasets import PICTURES, SOUNDS, TEXTS, Collection, LabelledFile, open_collection
from training.measuring import picture_of
from training.reading import told_broken
from training.recipe import Recipe
from training.terminal import shown
from training.towers import two_sided

SIDES: tuple[Side, Side] = ("a", "b")


@dataclass(frozen=True, slots=True)
class OfOneSide:
    """What one encoder takes of n samples, and of each its identity, group and name."""

    inputs: Sequence[Windows]
    identities: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_] | None
    names: Sequence[str]


def read_sides(comparator: Comparator, data: Path) -> tuple[OfOneSide, OfOneSide]:
    """Return the samples of both sides in a folder or zip: `a/ada/1.txt`, `b/ada/1.png`.

    A folder of a group may lie around identities, on both sides the same. Texts are files that end
    in `.txt`. Raises typer.BadParameter where a side has no sample.
    """
    collection = open_collection(data, (*PICTURES, *SOUNDS, *TEXTS))
    a, b = (_of_folder(comparator, collection, side) for side in SIDES)
    return a, b


def captioned_sides(
    comparator: Comparator, recipe: Recipe, things: Captioned
) -> tuple[OfOneSide, OfOneSide]:
    """Return all texts of these things, and all their pictures."""
    _, asked = two_sided(recipe)
    texts = [text for own in things.texts for text in own]
    said = [comparator.prepare(Sample(text.encode(), "text"), "a") for text in texts]
    identities = np.array(things.identities)
    kinds, styles = len(asked.texts), len(asked.styles)
    return (
        OfOneSide(
            said, np.repeat(identities, kinds), np.repeat(things.groups, kinds), tuple(texts)
        ),
        OfOneSide(
            [picture for own in things.pictures for picture in own],
            np.repeat(identities, styles),
            np.repeat(things.groups, styles),
            [f"{identity} {style}" for identity in identities for style in asked.styles],
        ),
    )


def embed_sides(comparator: Comparator, a: OfOneSide, b: OfOneSide) -> Samples:
    """Return samples of both sides as the bundle embeds them, a's and then b's."""
    manifest = comparator.manifest
    embeddings = []
    for side, of in zip(SIDES, (a, b), strict=True):
        blocks = [of.inputs[i : i + 256] for i in range(0, len(of.inputs), 256)]
        embeddings += [comparator.embed(block, side) for block in shown(blocks, f"embed {side}")]
    pictured = [manifest.encoders[side].modality == "image" for side in SIDES]
    inputs = [*a.inputs, *b.inputs]
    of_b = np.repeat([False, True], [len(a.inputs), len(b.inputs)])

    def picture(row: int) -> bytes | None:
        return picture_of(inputs[row][0]) if pictured[int(of_b[row])] else None

    grouped = a.groups is not None and b.groups is not None
    return labelled(
        np.concatenate(embeddings),
        np.concatenate([a.identities, b.identities]),
        as_served(manifest, comparator.digest, comparator.cohorts, comparator.cohort_groups),
        groups=np.concatenate([a.groups, b.groups]) if grouped else None,
        names=[*a.names, *b.names],
        sides=np.where(of_b, "b", "a"),
        title=comparator.title,
        picture=picture,
    )


def _of_folder(comparator: Comparator, collection: Collection, side: Side) -> OfOneSide:
    is_text = comparator.manifest.encoders[side].modality == "text"
    files = [
        _below(file)
        for file in collection.files
        if file.group == side and file.path.lower().endswith(TEXTS) == is_text
    ]
    if not files:
        raise typer.BadParameter(f"expected samples in a folder `{side}`, one for each identity")
    read = told_broken(
        Collection(tuple(files), collection.read).samples(
            lambda content: comparator.prepare(Sample(content), side),
            lambda some: shown(some, f"read {side}"),
        )
    )
    identities = np.array(read.identities)[read.labels]
    grouped = len(read.group_names) < len(read.identities)
    return OfOneSide(
        read.inputs,
        identities,
        np.array(read.group_names)[read.groups] if grouped else None,
        [f"{i} {drawer}" for i, drawer in zip(identities, read.drawers, strict=True)],
    )


def _below(file: LabelledFile) -> LabelledFile:
    """Return a file without the folder of its side in its identity."""
    identity = PurePosixPath(file.identity).relative_to(file.group)
    return replace(file, identity=str(identity), group=(*identity.parts, "")[0])
