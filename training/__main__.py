"""fit | evaluate | export | compare | pairs: the offline work, each a command."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import typer
from lightning_fabric import Fabric
from rich.progress import Progress as Bar
from rich.progress import track

from evaluation.__main__ import write_whole
from models_store.bundle import open_bundle
from models_store.manifest import Provenance, TrainingSource
from training.audio_statistics import with_statistics
from training.compare import Line, maps, markdown
from training.compare import compare as compared
from training.datasets import open_collection
from training.diarization import EVEN_ODDS, rttm, turns
from training.diarization import diarize as spoken_in
from training.embedding import embed_collection
from training.evaluating import tell_of_samples, tell_of_sides
from training.fit import BEST, CHECKPOINT, Epoch, fitted
from training.fit import fit as train
from training.labelled_bundle import export_labelled, provenance_of
from training.pairs import Limits, draw_pairs, split_identities, write_pairs
from training.pictures import side_by_side
from training.precision import Converted, Weights
from training.reading import read_captioned, read_split
from training.recipe import Card, Recipe, read_recipe
from training.retrieval import RetrievalWatch, export_towers, price_again
from training.sampling import Rows
from training.shapes import WordsNetwork
from training.tasks import Task, labelled_task
from training.terminal import console, print_figures, progress, shown, tell_of_bundle
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

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)

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
        typer.Option(
            help="A folder of folders, a zip, a table, or the recipe's data; of a bundle of two "
            "encoders a folder `a` and a folder `b` of such folders."
        ),
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
    """Measure a bundle on labelled files: pairs, open set, one-shot, clustering.

    Of two encoders: pairs and open set across the sides, retrieval, clusters of each side.
    """
    comparator = open_bundle(bundle)
    if comparator.manifest.tied:
        tell_of_samples(comparator, data, split, pieces, seed, out)
    else:
        tell_of_sides(comparator, data, split, seed, out)


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
        held_out, judged = (
            read_captioned(recipe, data, split) for split in ("calibration", "val")
        )
        comparator = export_towers(recipe, towers, held_out, judged, out, provenance_of(recipe))
        tell_of_bundle(comparator, out)
        return
    if recipe.data.pairs is not None:
        encoder, texts = fitted(recipe, run, last=last), data or recipe.data.root
        comparator = export_judged(recipe, encoder, texts, out, provenance_of(recipe), weights)
        tell_of_bundle(comparator, out)
        return
    samples = read_split(recipe, data, "val")
    encoder = fitted(recipe, run, last=last)
    if recipe.export.statistics:
        encoder = with_statistics(encoder, read_split(recipe, data, "train"), recipe, alone=alone)
    with progress() as told:
        comparator = export_labelled(recipe, encoder, samples, out, weights, told)
    tell_of_bundle(comparator, out)


@app.command()
def recalibrate(
    recipe_file: RecipeFile,
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    out: Annotated[Path, typer.Option(help="The new bundle's folder.")],
    data: Data = None,
) -> None:
    """Write a bundle anew from its encoder: all else is measured again, as the recipe says.

    Of two encoders only what scores are worth in galleries is; everything else stays.
    """
    recipe, comparator = read_recipe(recipe_file), open_bundle(bundle)
    if recipe.b is not None:
        things = read_captioned(recipe, data, "calibration")
        tell_of_bundle(price_again(comparator, bundle, recipe, things, out), out)
        return
    if recipe.data.pairs is not None:
        raise typer.BadParameter("expected a recipe of labelled samples")
    if comparator.manifest.encoders["a"].input != recipe.input:
        raise typer.BadParameter(f"{comparator.title} prepares samples otherwise than the recipe")
    encoder = Converted(onnx.load(bundle / comparator.manifest.encoders["a"].file))
    samples = read_split(recipe, data, "val")
    with progress() as told:
        written = export_labelled(recipe, encoder, samples, out, "float32", told)
    tell_of_bundle(written, out)


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
    samples, held_out = (read_split(recipe, data, split) for split in ("train", "val"))

    def shown(batches: Iterable[Rows], caption: str, count: int) -> Iterable[Rows]:
        return track(batches, caption, count, transient=True, disable=not console.is_terminal)

    lines: list[Line] = []
    for line in compared(recipe, samples, held_out, out, fabric, shown):
        lines.append(line)
        done = f"{len(lines)}/{1 + len(recipe.losses)}"
        print(done, markdown([line]).splitlines()[-1], flush=True)
    write_whole(out / "table.md", markdown(lines))
    maps(lines).savefig(out / "maps.png", dpi=80, metadata={"Software": None})
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
    learnt = read_captioned(recipe, data, "train")
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
        comparator, collection, out, "b" if side == "b" else "a", lambda b: shown(b, "embed")
    )
    console.print(f"{len(collection.files)} files by {comparator.title}: {out}")


@app.command()
def diarize(
    bundle: Annotated[Path, typer.Argument(help="The folder of a bundle that compares voices.")],
    recording: Annotated[Path, typer.Argument(help="WAV, FLAC, OGG, MP3 or AIFF.")],
    out: Annotated[
        Path | None, typer.Option(help="An RTTM file, for tools that read such.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="The score from which two pieces are one voice.")
    ] = EVEN_ODDS,
) -> None:
    """Tell who spoke when in a recording, one voice at a time."""
    taken = turns(spoken_in(open_bundle(bundle), recording.read_bytes(), threshold))
    if out:
        write_whole(out, rttm(recording.stem.replace(" ", "_"), taken))
    for turn in taken:
        console.print(f"{turn.start:8.2f} – {turn.end:8.2f} s  speaker {turn.speaker}")
    console.print(f"{len({turn.speaker for turn in taken})} speakers in {len(taken)} turns")


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
        learnt, held_out = (read_captioned(recipe, root, split) for split in ("train", "val"))
        return captioned_task(recipe, learnt, rank), RetrievalWatch(recipe, held_out, out)
    if recipe.data.pairs is not None:
        texts = root or recipe.data.root
        return judged_task(recipe, texts, rank), PairWatch(recipe, texts)
    samples, judged = (read_split(recipe, root, split) for split in ("train", "val"))
    return labelled_task(recipe, samples, rank), Watch(judged, recipe, out)


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
    print_figures(comparator.title, found)


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
    tell_of_bundle(comparator, out)


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
    samples = read_split(recipe, data, "val")
    with progress() as told:
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
    tell_of_bundle(comparator, out)


if __name__ == "__main__":
    app()
