"""fit | evaluate | export | compare | pairs: the offline work, each a command."""

import io
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import numpy.typing as npt
import typer
from lightning_fabric import Fabric
from PIL import Image
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import track
from rich.table import Table

from evaluation.__main__ import write_report, write_whole
from evaluation.calibration import calibrate, score_of
from evaluation.engine import Progress
from evaluation.engine import evaluate as measured
from evaluation.figures import controls
from evaluation.figures import evaluate as figures_of
from evaluation.figures import figures as figures_in
from evaluation.pairs import Embedded
from evaluation.samples import Samples, as_served, labelled
from index.gallery import Embeddings
from index.roster import Score
from models_store.bundle import open_bundle
from models_store.comparator import Comparator
from models_store.manifest import AudioInput, Distance, Metric, Provenance, TrainingSource
from models_store.preparation import Windows, preparation
from models_store.sample import Sample, SampleLimits
from training.audio_statistics import with_statistics
from training.captions import Captioned
from training.compare import Line, markdown
from training.compare import compare as compared
from training.datasets import LabelledFile, LabelledSamples, open_collection, read_splits
from training.embedding import embed_collection
from training.export import TrainedEncoder, encoder_graph, export_bundle
from training.fit import BEST, CHECKPOINT, Epoch, fitted
from training.fit import fit as train
from training.networks import embed, untrained
from training.pairs import Limits, draw_pairs, split_identities, write_pairs
from training.pictures import side_by_side
from training.precision import Converted, Weights, converted
from training.recipe import Card, Recipe, WordsNetwork, read_recipe
from training.recordings import in_pieces
from training.retrieval import (
    RetrievalWatch,
    export_towers,
    linear_map,
    measure,
    read_things,
)
from training.sampling import Rows
from training.tables import read_tables
from training.tasks import Task, labelled_task
from training.text_checkpoint import checkpoint_folder
from training.text_import import (
    LOOK_ALIKES,
    MINILM,
    PARAPHRASES,
    About,
    Judged,
    export_judged,
    import_checkpoint,
)
from training.text_pairs import TextPairs, measure_text_pairs, read_text_pairs, served_distances
from training.text_pairs import together as joined_pairs
from training.text_task import PairWatch, judged_task
from training.towers import captioned_task
from training.voice_import import INPUT as VOICE_INPUT
from training.voice_import import import_voice
from training.watch import Watch
from training.word_vectors import distil

EXAMPLES = 6  # test vectors in a bundle
TURNED = 9  # samples of an identity by each quarter turn: 8 to enroll, and one to probe with

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
    if not resume:
        for file in (CHECKPOINT, BEST):
            (out / file).unlink(missing_ok=True)
    elif (out / CHECKPOINT).exists():
        console.print(f"resuming from {out / CHECKPOINT}")

    learning, watch = _learning(recipe, data, out, fabric.global_rank)

    def report(history: Sequence[Epoch]) -> None:
        if fabric.is_global_zero:
            watch.draw(history)
            console.print("  ".join(f"{name} {value:.5g}" for name, value in history[-1].items()))

    columns = Bar.get_default_columns()
    with Bar(
        *columns, "{task.fields[loss]}", console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("fit", loss="")

        def shown(batches: Iterable[Rows], caption: str, count: int) -> Iterable[Rows]:
            bar.reset(task, total=count, description=caption)
            for batch in batches:
                yield batch
                bar.advance(task)

        train(
            recipe,
            learning,
            out,
            fabric,
            validate=watch.validate,
            report=report,
            progress=shown,
            step=lambda loss: bar.update(task, loss=f"loss {loss:.4f}"),
        )
    console.print(f"done: {out / CHECKPOINT}")


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    data: Annotated[
        Path | None,
        typer.Option(help="A folder of folders, a zip, a table, or the recipe's data."),
    ] = None,
    split: Annotated[str, typer.Option(help="Of the recipe's data: train or val.")] = "val",
    out: Annotated[
        Path | None, typer.Option(help="A folder for figures, report and embeddings.")
    ] = None,
    pieces: Annotated[
        float | None, typer.Option(help="Cut longer recordings into samples of so many seconds.")
    ] = None,
    seed: int = 0,
) -> None:
    """Measure a bundle on labelled files: pairs, open set, one-shot, clustering."""
    comparator = open_bundle(bundle)
    recipe = _recipe_of(comparator)
    if recipe and recipe.b:
        things, learnt = (_read_things(recipe, data, name) for name in (split, "train"))
        found = (*measure(comparator, recipe, things, seed), *linear_map(recipe, learnt, things))
        _print_figures(comparator.title, found)
        return
    read = _evaluated(comparator, data, split, pieces)
    console.print(f"{len(read)} samples of {len(read.identities)} identities")
    samples = _embedded_samples(comparator, read)
    with _progress() as told:
        report = measured(samples, seed, told)
    figures = (*figures_in(report), *_controls(comparator, read, seed))
    _print_figures(comparator.title, figures)
    for warning in report.about.warnings:
        console.print(f"note: {warning}", markup=False)
    if out:
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
            groups=np.array(read.group_names)[read.groups],
        )
        _write_turned(comparator, read, out / "turned.npz")
        console.print(f"figures, report and embeddings: {out}")


@app.command()
def export(
    recipe_file: RecipeFile,
    run: Annotated[Path, typer.Option(help="The folder that fit wrote to.")],
    out: Annotated[Path, typer.Option(help="The bundle's new folder.")],
    data: Data = None,
    *,
    last: Annotated[bool, typer.Option(help="The last weights, rather than the best.")] = False,
    alone: Annotated[bool, typer.Option(help="Statistics of sound, without the network.")] = False,
    weights: Annotated[Weights, typer.Option(help="float16 or int8: a variant.")] = "float32",
) -> None:
    """Calibrate a fitted encoder on the validation identities and write its bundle.

    A variant of other weights goes by a name of its own, such as `ink-int8`: everything in it,
    calibration and figures, is measured on these weights.
    """
    recipe = read_recipe(recipe_file)
    if recipe.b is not None:
        towers = fitted(recipe, run, last=last)
        held_out, judged = (_read_things(recipe, data, split) for split in ("calibration", "val"))
        comparator = export_towers(recipe, towers, held_out, judged, out, _provenance(recipe))
        _tell_of(comparator, out)
        return
    if recipe.data.pairs is not None:
        encoder, texts = fitted(recipe, run, last=last), data or recipe.data.root
        comparator = export_judged(recipe, encoder, texts, out, _provenance(recipe), weights)
        _tell_of(comparator, out)
        return
    samples = _read(recipe, data, "val")
    encoder = fitted(recipe, run, last=last)
    if recipe.export.statistics:
        encoder = with_statistics(encoder, _read(recipe, data, "train"), recipe, alone=alone)
    if weights != "float32":
        whole = encoder_graph(TrainedEncoder(encoder, recipe.input, samples.inputs[:2]))
        encoder = Converted(converted(whole, weights, samples.inputs, recipe.input))
    embeddings = embed(encoder, samples.inputs, recipe.input)
    held_back = np.isin(samples.identities, recipe.data.held_back)
    free = ~held_back[samples.labels]
    calibrated = calibrate(
        _embedded(embeddings, samples, np.negative).only(free),
        recipe.seed,
        _turned(lambda turned: embed(encoder, turned, recipe.input), samples.only(free))
        if recipe.batches.quarter_turns
        else None,
    )
    embedded = _embedded(embeddings, samples, score_of(calibrated.head))
    blank = replace(embedded, embeddings=embed(untrained(recipe), samples.inputs, recipe.input))
    with _progress() as told:
        metrics = (*figures_of(embedded, recipe.seed, told), *controls(blank, recipe.seed))
    comparator = export_bundle(
        out,
        TrainedEncoder(
            encoder, recipe.input, samples.inputs[:: len(samples) // EXAMPLES][:EXAMPLES]
        ),
        name=recipe.name if weights == "float32" else f"{recipe.name}-{weights}",
        version=recipe.version,
        description=recipe.description,
        licence=recipe.licence,
        distance="cosine",
        normalised=True,
        calibrated=calibrated,
        cohort=_strangers(embeddings[free], samples.only(free)),
        metrics=metrics,
        provenance=_provenance(recipe),
        words=recipe.card,
    )
    _tell_of(comparator, out)


@app.command()
def compare(
    recipe_file: RecipeFile,
    data: Data = None,
    out: Annotated[Path, typer.Option(help="Fits and table go here.")] = Path("runs/losses"),
    accelerator: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
) -> None:
    """Fit each of a recipe's losses alone, and table what it comes to on held-out identities."""
    recipe = read_recipe(recipe_file)
    fabric = Fabric(accelerator=accelerator, devices=1)
    fabric.launch()
    samples, held_out = (_read(recipe, data, split) for split in ("train", "val"))

    def shown(batches: Iterable[Rows], caption: str, count: int) -> Iterable[Rows]:
        return track(batches, caption, count, transient=True, disable=not console.is_terminal)

    lines: list[Line] = []
    for line in compared(recipe, samples, held_out, out, fabric, shown):
        lines.append(line)
        done = f"{len(lines)}/{1 + len(recipe.losses)}"
        print(done, markdown([line]).splitlines()[-1], flush=True)
    write_whole(out / "table.md", markdown(lines))
    print(markdown(lines))


@app.command()
def pairs(
    data: Annotated[Path, typer.Argument(help="A folder of folders, a zip of one, or idx files.")],
    out: Annotated[Path, typer.Option(help="A folder for train.tsv and val.tsv.")],
    count: Annotated[int, typer.Option(min=1, help="Pairs of each split, at most.")] = 100_000,
    positive_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of genuine.")] = 0.5,
    val_share: Annotated[float, typer.Option(min=0, max=1, help="Of the identities.")] = 0.2,
    at_least: Annotated[int, typer.Option(min=1, help="Samples of an identity, else none.")] = 1,
    at_most: Annotated[int | None, typer.Option(min=1, help="Samples of an identity.")] = None,
    *,
    strict: Annotated[bool, typer.Option(help="Rather fewer pairs than another rate.")] = False,
    seed: int = 0,
) -> None:
    """Write manifests of labelled pairs (a, b, same); no identity is in both splits."""
    files = open_collection(data).files
    labels = np.unique([file.identity for file in files], return_inverse=True)[1].astype(np.int64)
    names = [file.path for file in files]
    limits = Limits(positive_rate, at_least, at_most, strict)
    out.mkdir(parents=True, exist_ok=True)
    splits = zip(("train", "val"), split_identities(labels, val_share, seed), strict=True)
    for split, rows in splits:
        drawn = draw_pairs(labels[rows], count, limits, seed)
        write_pairs(out / f"{split}.tsv", [names[row] for row in rows], drawn)
        console.print(
            f"{out / split}.tsv: {len(drawn)} pairs, {drawn.positive_rate:.4f} of them genuine, "
            f"of {len(rows)} samples of {len(np.unique(labels[rows]))} identities; seed {seed}"
        )


@app.command()
def words(
    recipe_file: RecipeFile,
    checkpoint: Annotated[
        Path | None, typer.Argument(help="A sentence encoder's folder; else the packaged one.")
    ] = None,
    data: Data = None,
    width: Annotated[int, typer.Option(min=1, help="Numbers of a vector.")] = 96,
) -> None:
    """Make a recipe's vectors of words: what a sentence encoder has of each token alone."""
    recipe = read_recipe(recipe_file)
    if not isinstance(recipe.network, WordsNetwork):
        raise typer.BadParameter(f"a network of kind {recipe.network.kind} takes no vectors")
    learnt = _read_things(recipe, data, "train")
    texts = [text for own in learnt.texts for text in own]
    found = distil(checkpoint_folder(checkpoint), texts, width)
    found.save(recipe.network.vectors)
    console.print(f"{len(found.vectors)} words: {recipe.network.vectors}")


@app.command("embed")
def embed_files(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    data: Annotated[Path, typer.Argument(help="Files, as evaluate takes them.")],
    out: Annotated[Path, typer.Option(help="A folder; a run that was killed goes on in it.")],
    side: Annotated[str, typer.Option(help="a or b, where they differ.")] = "a",
) -> None:
    """Embed a whole data set: embeddings.npy, and files.tsv that says whose each row is."""
    comparator = open_bundle(bundle)
    collection = open_collection(data)
    embed_collection(
        comparator, collection, out, "b" if side == "b" else "a", lambda b: _shown(b, "embed")
    )
    console.print(f"{len(collection.files)} files by {comparator.title}: {out}")


@app.command()
def show(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    a: Annotated[Path, typer.Argument(help="A picture.")],
    b: Annotated[Path, typer.Argument(help="Another.")],
    out: Annotated[Path, typer.Option(help="Where to draw both.")] = Path("pair.png"),
) -> None:
    """Draw two pictures side by side with their score and what it is worth."""
    score, picture = side_by_side(open_bundle(bundle), a.read_bytes(), b.read_bytes())
    out.write_bytes(picture)
    console.print(f"score {score:.4f}: {out}")


def _learning(
    recipe: Recipe, root: Path | None, out: Path, rank: int
) -> tuple[Task, Watch | RetrievalWatch | PairWatch]:
    """Return what is fitted, and what is seen of it: of one encoder, of two, or of pairs."""
    if recipe.b is not None:
        learnt, held_out = (_read_things(recipe, root, split) for split in ("train", "val"))
        return captioned_task(recipe, learnt, rank), RetrievalWatch(recipe, held_out, out)
    if recipe.data.pairs is not None:
        texts = root or recipe.data.root
        return judged_task(recipe, texts, rank), PairWatch(recipe, texts)
    samples, judged = (_read(recipe, root, split) for split in ("train", "val"))
    return labelled_task(recipe, samples, rank), Watch(judged, recipe.input, recipe.seed, out)


def _read_things(recipe: Recipe, root: Path | None, split: str) -> Captioned:
    read = read_things(recipe, root, split, lambda rows: _shown(rows, f"read {split}"))
    for problem in read.broken:
        console.print(f"left out: {problem}")
    return read


@app.command("evaluate-pairs")
def evaluate_pairs(
    bundle: Annotated[Path, typer.Argument(help="The folder of a bundle of text.")],
    table: Annotated[Path, typer.Argument(help="Pairs of texts, with `same` or a score.")],
    same_from: Annotated[
        float | None, typer.Option(help="The score from which on two texts are the same.")
    ] = None,
    column: Annotated[str | None, typer.Option(help="What the scores' column is called.")] = None,
    seed: int = 0,
) -> None:
    """Measure a bundle of text on pairs that people judged: Spearman, AUC, operating points."""
    comparator = open_bundle(bundle)
    read = _text_pairs([table], column)
    distances = served_distances(comparator, read)
    points = comparator.manifest.operating_points
    found = measure_text_pairs(read, distances, comparator.score, points, same_from, seed)
    _print_figures(comparator.title, found)


@app.command("import-text")
def import_text(
    out: Annotated[Path, typer.Option(help="The bundle's new folder.")],
    pairs: Annotated[list[Path], typer.Option(help="Judged pairs, to calibrate by; repeatable.")],
    held_out: Annotated[Path, typer.Option(help="Judged pairs, to measure on.")],
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="config.json, weights, tokenizer.json; else the packaged one."),
    ] = None,
    *,
    same_from: Annotated[
        float | None, typer.Option(help="The score from which on two texts are the same.")
    ] = None,
    name: str = "minilm",
    version: str = "1",
    licence: Annotated[str, typer.Option(help="Of the checkpoint's weights.")] = "Apache-2.0",
    source: Annotated[str, typer.Option(help="Where the checkpoint comes from.")] = MINILM,
    weights: Annotated[Weights, typer.Option(help="float16 or int8: a variant.")] = "float32",
) -> None:
    """Make a ready comparator of a local sentence-embedding checkpoint."""
    tables = [f"{table.parent.name}/{table.name}" for table in (*pairs, held_out)]
    *calibrating, measuring = tables
    listed = " ".join(f"--pairs {table}" for table in calibrating)
    asked = f"--same-from {same_from:g}" if same_from is not None else ""
    comparator = import_checkpoint(
        checkpoint_folder(checkpoint),
        out,
        Judged(_text_pairs(pairs), _text_pairs([held_out]), same_from),
        About(
            name,
            version,
            "Sentences and short texts, by what they mean",
            licence,
            Provenance(
                sources=(
                    TrainingSource(name="what its authors list", licence="theirs", source=source),
                )
            ),
            Card(
                use=PARAPHRASES,
                limits=LOOK_ALIKES,
                commands=f"python -m training import-text {listed} --held-out {measuring} {asked}",
                notice=f"Head, operating points and cohort come from {', '.join(calibrating)}, "
                "whose texts have licences of their own.",
            ),
        ),
        weights,
    )
    _tell_of(comparator, out)


def _text_pairs(tables: Sequence[Path], column: str | None = None) -> TextPairs:
    """Return the pairs of all tables; say what is broken."""
    read = joined_pairs([read_text_pairs(table, column) for table in tables])
    for problem in read.broken:
        console.print(f"left out: {problem}", markup=False)
    return read


@app.command("import-voice")
def import_voice_bundle(
    out: Annotated[Path, typer.Option(help="The bundle's new folder.")],
    data: Annotated[Path, typer.Option(help="The folder that the recipe's tables lie in.")],
    recipe_file: Annotated[
        Path, typer.Option("--recipe", help="Whose held-out speakers calibrate and measure.")
    ] = Path("training/recipes/voice.toml"),
    name: str = "ge2e",
    version: str = "1",
) -> None:
    """Make a bundle of the speaker encoder in the package resemblyzer, calibrated here."""
    recipe = read_recipe(recipe_file).model_copy(update={"input": VOICE_INPUT})
    samples = _read(recipe, data, "val")
    with _progress() as told:
        comparator = import_voice(
            out,
            samples,
            name=name,
            version=version,
            commands=f"`python -m training import-voice --recipe {recipe_file} --data {data}`",
            notice=f"Calibrated and measured on:\n{recipe.card.notice}",
            seed=recipe.seed,
            progress=told,
        )
    _tell_of(comparator, out)


def _read(recipe: Recipe, root: Path | None, split: str) -> LabelledSamples:
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
        return _shown(files, f"read {split}")

    spec, seconds = recipe.input, recipe.data.pieces
    if split == "val" and isinstance(spec, AudioInput) and seconds:
        return _reported(in_pieces(collection, spec, seconds, SampleLimits(), told))
    prepare = preparation(spec, SampleLimits(), lambda name: (root / name).read_bytes())
    return _reported(collection.samples(prepare, told))


def _evaluated(
    comparator: Comparator, data: Path | None, split: str, pieces: float | None
) -> LabelledSamples:
    """Return a split of the bundle's own data set where `data` holds it, else all of `data`.

    Of a table that tells splits, all is the split asked for.
    """
    manifest, recipe = comparator.manifest, _recipe_of(comparator)
    files = [each.file for each in recipe.data.tables] or [recipe.data.files] if recipe else []
    if recipe and (data is None or all((data / file).exists() for file in files)):
        return _read(recipe, data, split)
    if data is None:
        raise typer.BadParameter(f"{manifest.title} names no data of its own: give --data")
    collection = open_collection(data).chosen(lambda file: file.split in ("", split))

    def told(files: Sequence[LabelledFile]) -> Iterable[LabelledFile]:
        return _shown(files, "read")

    spec = manifest.encoders["a"].input
    if isinstance(spec, AudioInput) and pieces:
        return _reported(in_pieces(collection, spec, pieces, comparator.limits, told))
    return _reported(collection.samples(lambda content: comparator.prepare(Sample(content)), told))


def _reported(samples: LabelledSamples) -> LabelledSamples:
    for problem in samples.broken:
        console.print(f"left out: {problem}")
    return samples


def _embedded_samples(comparator: Comparator, read: LabelledSamples) -> Samples:
    """Return samples as the bundle embeds them, with their names and pictures."""
    blocks = [read.inputs[i : i + 256] for i in range(0, len(read), 256)]
    embeddings = np.concatenate([comparator.embed(block) for block in _shown(blocks, "embed")])
    identities = np.array(read.identities)[read.labels]
    groups = np.array(read.group_names)[read.groups]
    is_image = comparator.manifest.encoders["a"].modality == "image"
    return labelled(
        embeddings,
        identities,
        as_served(comparator.manifest, comparator.digest, comparator.cohort),
        # A folder of folders without folders around them has a group for each identity.
        groups=groups if len(read.group_names) < len(read.identities) else None,
        drawers=read.drawers if len(np.unique(read.drawers)) > 1 else None,
        names=[f"{i} {drawer}" for i, drawer in zip(identities, read.drawers, strict=True)],
        title=comparator.title,
        picture=(lambda row: _png(read.inputs[row][0])) if is_image else (lambda _: None),
    )


def _png(pixels: npt.NDArray[np.float32]) -> bytes:
    """Return what an encoder is given (c, h, w) as a picture."""
    low, high = float(pixels.min()), float(pixels.max())
    grey = (255 * (pixels - low) / max(high - low, 1e-6)).round().astype(np.uint8)
    shown = io.BytesIO()
    Image.fromarray(grey[0] if len(grey) == 1 else grey.transpose(1, 2, 0)).save(shown, "png")
    return shown.getvalue()


def _recipe_of(comparator: Comparator) -> Recipe | None:
    """Return the recipe of a bundle, or None if it has none that is understood here."""
    try:
        return Recipe.model_validate(comparator.manifest.provenance.recipe)
    except ValidationError:
        return None


def _controls(comparator: Comparator, read: LabelledSamples, seed: int) -> Iterable[Metric]:
    """Return the figures of the bundle's network before it learnt anything, if it has a recipe."""
    recipe = _recipe_of(comparator)
    if recipe is None:
        return ()
    blank = embed(untrained(recipe), read.inputs, recipe.input)
    return controls(_embedded(blank, read, comparator.score, comparator.manifest.distance), seed)


def _embedded(
    embeddings: Embeddings, read: LabelledSamples, score: Score, metric: Distance = "cosine"
) -> Embedded:
    return Embedded(embeddings, read.labels, read.groups, read.drawers, metric, score)


def _strangers(embeddings: Embeddings, read: LabelledSamples) -> Embeddings:
    """Return one embedding (m, d) of each identity, of the drawers in turn."""
    rows = [np.flatnonzero(read.labels == i) for i in range(len(read.identities))]
    return embeddings[[own[i % len(own)] for i, own in enumerate(rows)]]


def _write_turned(comparator: Comparator, read: LabelledSamples, path: Path) -> None:
    """Write what else a calibration was made from, where that is characters on their sides."""
    recipe = _recipe_of(comparator)
    if recipe is None or not recipe.batches.quarter_turns:
        return
    turned = _turned(comparator.embed, read)
    np.savez(
        path,
        embeddings=turned.embeddings,
        identities=turned.labels.astype(str),
        groups=np.array(read.group_names)[turned.groups],
        of=np.array(read.identities)[turned.labels % len(read.identities)],
    )


def _turned(
    embed_some: Callable[[Sequence[Windows]], Embeddings], read: LabelledSamples
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
        "cosine",
        np.negative,
    )


def _provenance(recipe: Recipe) -> Provenance:
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


def _shown(steps: Sequence[T], caption: str) -> Iterable[T]:
    return track(steps, caption, transient=True, disable=not console.is_terminal)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Yield what shows the stage of an evaluation and how much of it is done."""
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("evaluate", total=1.0)
        yield lambda stage, share: bar.update(task, description=stage, completed=share)


def _tell_of(comparator: Comparator, out: Path) -> None:
    """Print the figures of a bundle that was written, and its digest."""
    _print_figures(comparator.title, comparator.manifest.metrics)
    console.print(f"{out}: {comparator.digest}")


def _print_figures(title: str, figures: Sequence[Metric]) -> None:
    table = Table("figure", "value", "95 %", "who was counted", title=title)
    for figure in figures:
        span = "–".join(f"{end:.4f}" for end in figure.interval) if figure.interval else ""
        table.add_row(figure.name, f"{figure.value:.4f}", span, figure.protocol)
    console.print(table)


if __name__ == "__main__":
    app()
