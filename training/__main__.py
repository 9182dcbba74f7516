"""fit | evaluate | export: the offline work, each a command."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import typer
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from evaluation.calibration import calibrate, score_of
from evaluation.figures import controls, one_shot
from evaluation.figures import evaluate as figures_of
from evaluation.pairs import Embedded
from evaluation.plots import draw_plots
from index.gallery import Embeddings
from index.roster import Score
from models_store.bundle import open_bundle
from models_store.comparator import Comparator
from models_store.manifest import Distance, Metric, Provenance, TrainingSource
from training.datasets import LabelledImages, open_collection, read_splits
from training.export import TrainedEncoder, export_bundle
from training.fit import CHECKPOINT, Epoch, fitted, untrained
from training.fit import fit as train
from training.networks import embed
from training.recipe import Recipe, read_recipe
from training.sampling import Rows

EXAMPLES = 6  # test vectors in a bundle

T = TypeVar("T")

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console()

RecipeFile = Annotated[Path, typer.Argument(help="A recipe, such as training/recipes/ink.toml.")]
Data = Annotated[Path | None, typer.Option(help="The folder that the recipe's files lie in.")]


@app.command()
def fit(
    recipe_file: RecipeFile,
    data: Data = None,
    out: Annotated[Path, typer.Option(help="Checkpoint and history go here.")] = Path("runs/last"),
    *,
    resume: Annotated[bool, typer.Option(help="Go on from a checkpoint in OUT.")] = True,
    accelerator: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    devices: Annotated[int, typer.Option(help="Processes, one for each device.")] = 1,
    precision: Annotated[str, typer.Option(help="As Fabric has it.")] = "32-true",
) -> None:
    """Train an encoder as a recipe says."""
    recipe = read_recipe(recipe_file)
    fabric = Fabric(accelerator=accelerator, devices=devices, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    images, held_out = (_images(recipe, data, split) for split in ("train", "val"))
    if not resume:
        (out / CHECKPOINT).unlink(missing_ok=True)
    elif (out / CHECKPOINT).exists():
        console.print(f"resuming from {out / CHECKPOINT}")

    def validate(encoder: nn.Module) -> dict[str, float]:
        embedded = _embedded(embed(encoder, held_out.pixels), held_out, np.negative)
        found = one_shot(embedded, recipe.seed, within_groups=True, trials=200)
        return {figure.name: figure.value for figure in found}

    def shown(batches: Iterable[Rows], caption: str, count: int) -> Iterable[Rows]:
        return track(batches, caption, count, transient=True, disable=not console.is_terminal)

    train(
        recipe,
        images,
        out,
        fabric,
        validate=validate,
        report=_print_epoch,
        progress=shown,
    )
    console.print(f"done: {out / CHECKPOINT}")


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    data: Annotated[
        Path | None, typer.Option(help="A folder of folders, a zip, or the recipe's data.")
    ] = None,
    split: Annotated[str, typer.Option(help="Of the recipe's data: train or val.")] = "val",
    out: Annotated[Path | None, typer.Option(help="A folder for figures.json and plots.")] = None,
    seed: int = 0,
) -> None:
    """Measure a bundle on labelled files: pairs, one-shot, open set, clustering."""
    comparator = open_bundle(bundle)
    images = _evaluation_images(comparator, data, split)
    console.print(f"{len(images)} samples of {len(images.identities)} identities")
    blocks = np.array_split(images.pixels, max(1, len(images) // 256))
    embeddings = np.concatenate([comparator.embed(block) for block in _shown(blocks, "embed")])
    embedded = _embedded(embeddings, images, comparator.score, comparator.manifest.distance)
    figures = figures_of(embedded, seed, lambda trials: _shown(trials, "trials"))
    _print_figures(comparator.title, figures)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        report = {
            "bundle": comparator.title,
            "digest": comparator.digest,
            "figures": [figure.model_dump() for figure in figures],
        }
        (out / "figures.json").write_text(json.dumps(report, indent=1))
        draw_plots(embedded, out)
        console.print(f"figures and plots: {out}")


@app.command()
def export(
    recipe_file: RecipeFile,
    run: Annotated[Path, typer.Option(help="The folder that fit wrote to.")],
    out: Annotated[Path, typer.Option(help="The bundle's new folder.")],
    data: Data = None,
) -> None:
    """Calibrate a fitted encoder on the validation identities and write its bundle."""
    recipe = read_recipe(recipe_file)
    images = _images(recipe, data, "val")
    encoder = fitted(recipe, run)
    embeddings = embed(encoder, images.pixels)
    held_back = np.isin(images.identities, recipe.data.held_back)
    free = ~held_back[images.labels]
    calibrated = calibrate(
        _embedded(embeddings, images, np.negative).only(free),
        _strangers(encoder, images.only(free), turned=True),
        recipe.seed,
    )
    embedded = _embedded(embeddings, images, score_of(calibrated.head))
    blank = _embedded(embed(untrained(recipe), images.pixels), images, np.negative)
    metrics = (
        *figures_of(embedded, recipe.seed, lambda trials: _shown(trials, "trials")),
        *controls(blank, recipe.seed),
    )
    comparator = export_bundle(
        out,
        TrainedEncoder(
            encoder, recipe.input, images.pixels[:: len(images) // EXAMPLES][:EXAMPLES]
        ),
        name=recipe.name,
        version=recipe.version,
        description=recipe.description,
        licence=recipe.licence,
        distance="cosine",
        normalised=True,
        calibrated=calibrated,
        cohort=_strangers(encoder, images.only(free)),
        metrics=metrics,
        provenance=_provenance(recipe),
        words=recipe.card,
    )
    _print_figures(comparator.title, metrics)
    console.print(f"{out}: {comparator.digest}")


def _images(recipe: Recipe, root: Path | None, split: str) -> LabelledImages:
    """Return a split's images; say what is broken."""
    root = root or recipe.data.root
    splits = read_splits(recipe.data.splits, root)
    collection = open_collection(root / recipe.data.files).chosen(
        lambda file: splits.get(file.group) == split
    )
    return _reported(collection.images(recipe.input, lambda files: _shown(files, f"read {split}")))


def _evaluation_images(comparator: Comparator, data: Path | None, split: str) -> LabelledImages:
    """Return a split of the bundle's own data set where `data` holds it, else all of `data`."""
    manifest = comparator.manifest
    if manifest.provenance.recipe:
        recipe = Recipe.model_validate(manifest.provenance.recipe)
        if data is None or (data / recipe.data.files).exists():
            return _images(recipe, data, split)
    if data is None:
        raise typer.BadParameter(f"{manifest.title} names no data of its own: give --data")
    collection = open_collection(data)
    spec = manifest.encoders["a"].input
    return _reported(collection.images(spec, lambda files: _shown(files, "read")))


def _reported(images: LabelledImages) -> LabelledImages:
    for problem in images.broken:
        console.print(f"left out: {problem}")
    return images


def _embedded(
    embeddings: Embeddings, images: LabelledImages, score: Score, metric: Distance = "cosine"
) -> Embedded:
    return Embedded(embeddings, images.labels, images.groups, images.drawers, metric, score)


def _strangers(encoder: nn.Module, images: LabelledImages, *, turned: bool = False) -> Embeddings:
    """Return one embedding (m, d) of each identity, of the drawers in turn.

    `turned` lays each on a side or on its head, which makes it somebody else. Such strangers are
    less alike to upright characters than upright strangers are, so a cohort of them would promise
    too much; they serve where upright ones are needed for the galleries.
    """
    rows = [np.flatnonzero(images.labels == i) for i in range(len(images.identities))]
    pixels = images.pixels[[own[i % len(own)] for i, own in enumerate(rows)]]  # (m, c, h, w)
    if turned:
        pixels = np.stack([np.rot90(one, 1 + i % 3, axes=(1, 2)) for i, one in enumerate(pixels)])
    return embed(encoder, pixels)


def _provenance(recipe: Recipe) -> Provenance:
    git = shutil.which("git")
    head = [git, "rev-parse", "--verify", "--quiet", "HEAD"] if git else ["false"]
    found = subprocess.run(head, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    return Provenance(
        sources=(
            TrainingSource(
                name=recipe.data.name, licence=recipe.data.licence, source=recipe.data.url
            ),
        ),
        recipe=recipe.model_dump(mode="json", exclude={"card"}),
        seed=recipe.seed,
        commit=found.stdout.strip() or None,
    )


def _shown(steps: Sequence[T], caption: str) -> Iterable[T]:
    return track(steps, caption, transient=True, disable=not console.is_terminal)


def _print_epoch(line: Epoch) -> None:
    console.print("  ".join(f"{name} {value:.5g}" for name, value in line.items()))


def _print_figures(title: str, figures: Sequence[Metric]) -> None:
    table = Table("figure", "value", "95 %", "who was counted", title=title)
    for figure in figures:
        span = "–".join(f"{end:.4f}" for end in figure.interval) if figure.interval else ""
        table.add_row(figure.name, f"{figure.value:.4f}", span, figure.protocol)
    console.print(table)


if __name__ == "__main__":
    app()
