"""Which samples a command works on: a split of a recipe's data, or what lies in a folder."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import typer
from pydantic import ValidationError

from models_store.comparator import Comparator
from models_store.manifest import AudioInput
from models_store.preparation import preparation
from models_store.sample import Sample, SampleLimits
from training.captions import Captioned
from training.datasets import LabelledFile, LabelledSamples, open_collection, read_splits
from training.recipe import Recipe
from training.recordings import in_pieces
from training.retrieval import read_things
from training.tables import read_tables
from training.terminal import console, shown


def read_split(recipe: Recipe, root: Path | None, split: str) -> LabelledSamples:
    """Return a split's samples; say what is broken."""
    root = root or recipe.data.root
    splits = read_splits(recipe.data.splits, root)
    tables = recipe.data.tables
    found = read_tables(recipe.data, root) if tables else open_collection(root / recipe.data.files)
    collection = found.chosen(
        lambda file: (splits.get(file.identity) or splits.get(file.group) or file.split) == split
    )
    if split == "val" and recipe.data.validation_samples:
        collection = collection.first(recipe.data.validation_samples)

    def told(files: Sequence[LabelledFile]) -> Iterable[LabelledFile]:
        return shown(files, f"read {split}")

    spec, seconds = recipe.input, recipe.data.pieces
    if split == "val" and isinstance(spec, AudioInput) and seconds:
        return told_broken(in_pieces(collection, spec, seconds, SampleLimits(), told))
    prepare = preparation(spec, SampleLimits(), lambda name: (root / name).read_bytes())
    return told_broken(collection.samples(prepare, told))


def read_captioned(recipe: Recipe, root: Path | None, split: str) -> Captioned:
    """Return a split's things with texts and pictures; say what is broken."""
    read = read_things(recipe, root, split, lambda rows: shown(rows, f"read {split}"))
    for problem in read.broken:
        console.print(f"left out: {problem}")
    return read


def read_evaluated(
    comparator: Comparator, data: Path | None, split: str, pieces: float | None
) -> LabelledSamples:
    """Return a split of the bundle's own data set where `data` holds it, else all of `data`.

    Of a table that tells splits, all is the split asked for.
    """
    manifest, recipe = comparator.manifest, recipe_of(comparator)
    files = [each.file for each in recipe.data.tables] or [recipe.data.files] if recipe else []
    if recipe and (data is None or all((data / file).exists() for file in files)):
        return read_split(recipe, data, split)
    if data is None:
        raise typer.BadParameter(f"{manifest.title} names no data of its own: give --data")
    collection = open_collection(data).chosen(lambda file: file.split in ("", split))

    def told(files: Sequence[LabelledFile]) -> Iterable[LabelledFile]:
        return shown(files, "read")

    spec = manifest.encoders["a"].input
    if isinstance(spec, AudioInput) and pieces:
        return told_broken(in_pieces(collection, spec, pieces, comparator.limits, told))
    return told_broken(
        collection.samples(lambda content: comparator.prepare(Sample(content)), told)
    )


def told_broken(samples: LabelledSamples) -> LabelledSamples:
    """Return samples, once what of them is broken is printed."""
    for problem in samples.broken:
        console.print(f"left out: {problem}")
    return samples


def recipe_of(comparator: Comparator) -> Recipe | None:
    """Return the recipe of a bundle, or None if it has none that is understood here."""
    try:
        return Recipe.model_validate(comparator.manifest.provenance.recipe)
    except ValidationError:
        return None
