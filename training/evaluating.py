"""A bundle measured on labelled samples: figures are shown, and with the report written."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import typer

from evaluation.__main__ import write_report, write_whole
from evaluation.engine import evaluate
from evaluation.figures import figures as figures_in
from evaluation.samples import Samples
from models_store.comparator import Comparator
from models_store.manifest import Metric
from training.measuring import embed_samples, untrained_figures, write_turned
from training.reading import read_captioned, read_evaluated, recipe_of
from training.retrieval import linear_map, measure
from training.sides import captioned_sides, embed_sides, read_sides
from training.terminal import console, print_figures, progress


def tell_of_samples(
    comparator: Comparator,
    data: Path | None,
    split: str,
    pieces: float | None,
    seed: int,
    out: Path | None,
) -> None:
    """Measure a bundle of one encoder on a split of its recipe's data, or on what `data` holds."""
    read = read_evaluated(comparator, data, split, pieces)
    console.print(f"{len(read)} samples of {len(read.identities)} identities")
    _tell(
        comparator,
        embed_samples(comparator, read),
        lambda: untrained_figures(comparator, read, seed),
        seed,
        out,
        {"groups": np.array(read.group_names)[read.groups]},
    )
    if out:
        write_turned(comparator, read, out / "turned.npz")


def tell_of_sides(
    comparator: Comparator, data: Path | None, split: str, seed: int, out: Path | None
) -> None:
    """Do so for two encoders: on captions of its recipe's data, or on folders of both sides."""
    recipe = recipe_of(comparator)
    beside: tuple[Metric, ...] = ()
    if recipe and recipe.b and (data is None or (data / recipe.data.files).exists()):
        things, learnt = (read_captioned(recipe, data, name) for name in (split, "train"))
        sides = captioned_sides(comparator, recipe, things)
        beside = (*measure(comparator, recipe, things, seed), *linear_map(recipe, learnt, things))
    elif data is None:
        raise typer.BadParameter(f"{comparator.title} names no data of its own: give --data")
    else:
        sides = read_sides(comparator, data)
    a, b = (len(of.inputs) for of in sides)
    console.print(f"{a} samples of side a, {b} of side b")
    samples = embed_sides(comparator, *sides)
    told_apart = np.repeat(["a", "b"], [a, b])
    _tell(comparator, samples, lambda: beside, seed, out, {"sides": told_apart})


def _tell(
    comparator: Comparator,
    samples: Samples,
    beside: Callable[[], Iterable[Metric]],
    seed: int,
    out: Path | None,
    columns: Mapping[str, npt.NDArray[np.str_]],
) -> None:
    """Measure, show the figures and those `beside` them, and write all of it to a folder."""
    with progress() as told:
        report = evaluate(samples, seed, told)
    figures = (*figures_in(report), *beside())
    print_figures(comparator.title, figures)
    for note in (*report.about.warnings, *report.absent.values()):
        console.print(f"note: {note}", markup=False)
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    table = {
        "bundle": comparator.title,
        "digest": comparator.digest,
        "figures": [figure.model_dump() for figure in figures],
    }
    write_whole(out / "figures.json", json.dumps(table, indent=1))
    write_report(out, report)
    np.savez(
        out / "samples.npz",  # what the measurements in evaluation/ read
        embeddings=samples.embedded.embeddings,
        identities=np.array(samples.identities)[samples.embedded.labels],
        **columns,  # type: ignore[arg-type]  # numpy's signature has a flag beside the arrays
    )
    console.print(f"figures, report and embeddings: {out}")
