"""A sentence-embedding checkpoint → a bundle, calibrated on pairs that people judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from evaluation.calibration import calibrate, score_of
from evaluation.pairs import Embedded, Pairs
from index.gallery import Embeddings
from models_store.comparator import Comparator
from models_store.manifest import Provenance, TextInput
from models_store.preparation import Windows, preparation
from models_store.sample import SampleLimits
from training.export import TrainedEncoder, encoder_graph, export_bundle
from training.networks import embed
from training.precision import Converted, Weights, converted
from training.recipe import Card, Recipe
from training.text_checkpoint import open_checkpoint
from training.text_pairs import TextPairs, measure_text_pairs, paraphrase_groups
from training.text_task import judged_pairs, read_split, tokenizer_of

MINILM = "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2"

OVERLAP = 32  # tokens that two windows of a long text share
EXAMPLES = 6
LONG = 200  # texts that make one of several windows
MOST_STRANGERS = 1000
AT_ONCE = 32

PARAPHRASES = """
Texts that mean the same. An identity is a group of paraphrases: enroll a text, or several
wordings of it, and a probe is identified if it says the same in other words. Who wrote a text is
not what is compared.
"""
LOOK_ALIKES = """
Texts of one topic are alike even if they say the opposite: "the match was won" and "the match
was lost" come close. Head and operating points go by pairs that people judged, which were picked
for their likeness: the FMR is that among look-alikes, and any two texts are accepted more rarely.
The languages are those that the checkpoint was trained on (all-MiniLM-L6-v2: English), and a text
in a script that its tokenizer lacks is refused. A text longer than a window is the mean of its
windows: a gist, not its details.
"""


@dataclass(frozen=True, slots=True)
class About:
    """What a bundle says of itself."""

    name: str
    version: str
    description: str
    licence: str
    provenance: Provenance
    words: Card


@dataclass(frozen=True, slots=True)
class Judged:
    """Pairs that people judged: those to calibrate by, and those to measure on."""

    fitting: TextPairs
    held_out: TextPairs
    same_from: float | None = None


def import_checkpoint(
    checkpoint: Path, out: Path, judged: Judged, about: About, weights: Weights = "float32"
) -> Comparator:
    """Write the bundle of a checkpoint's sentence encoder to a new folder; return it opened.

    Raises BundleRefused, as `open_checkpoint` does.
    """
    found = open_checkpoint(checkpoint)
    spec = TextInput(max_tokens=found.max_tokens, overlap=min(OVERLAP, found.max_tokens // 4))
    return write_text_bundle(out, found.encoder, spec, found.tokenizer, judged, about, weights)


def write_text_bundle(
    out: Path,
    encoder: nn.Module,
    spec: TextInput,
    tokenizer: bytes,
    judged: Judged,
    about: About,
    weights: Weights = "float32",
    seed: int = 0,
) -> Comparator:
    """Calibrate an encoder of text on judged pairs, write its bundle and return it opened.

    The pairs fit the head and the operating points. Their groups of paraphrases are the
    identities that galleries are simulated with; texts that mean the same as no other are the
    cohort. Of other `weights` it has a name of its own, such as `minilm-int8`.
    """
    prepare = preparation(spec, SampleLimits(), lambda _: tokenizer)
    fitting, held_out = judged.fitting, judged.held_out
    inputs = [prepare(text.encode()) for text in fitting.texts]
    examples = _examples(inputs, prepare(" ".join(fitting.texts[:LONG]).encode()))
    name = about.name
    if weights != "float32":
        whole = encoder_graph(TrainedEncoder(encoder, spec, examples))
        encoder, name = Converted(converted(whole, weights, inputs, spec)), f"{name}-{weights}"
    embeddings = embed(encoder, inputs, spec, AT_ONCE)
    groups = paraphrase_groups(fitting, judged.same_from)
    calibrated = calibrate(
        _identities(embeddings, groups),
        seed,
        judged=closeness(fitting, embeddings, judged.same_from),
    )
    own = embed(encoder, [prepare(text.encode()) for text in held_out.texts], spec, AT_ONCE)
    metrics = measure_text_pairs(
        held_out,
        cosine_distances(held_out, own),
        score_of(calibrated.head),
        # Pairs that chose the points would keep to them.
        calibrated.operating_points if held_out is not fitting else (),
        judged.same_from,
        seed,
    )
    return export_bundle(
        out,
        TrainedEncoder(encoder, spec, examples, tokenizer),
        name=name,
        version=about.version,
        description=about.description,
        licence=about.licence,
        distance="cosine",
        normalised=True,
        calibrated=calibrated,
        cohort=embeddings[strangers(groups, seed)],
        metrics=metrics,
        provenance=about.provenance,
        words=about.words,
    )


def export_judged(
    recipe: Recipe,
    encoder: nn.Module,
    root: Path,
    out: Path,
    provenance: Provenance,
    weights: Weights = "float32",
) -> Comparator:
    """Write the bundle of a fitted encoder, calibrated and measured on the pairs held out."""
    if not isinstance(recipe.input, TextInput):
        raise ValueError(f"{recipe.name} takes no text")  # noqa: TRY004 - of the recipe
    pairs = read_split(recipe, root, "val")
    judged = Judged(pairs, pairs, judged_pairs(recipe).same_from)
    words = recipe.card.model_copy(
        update={"use": recipe.card.use or PARAPHRASES, "limits": recipe.card.limits or LOOK_ALIKES}
    )
    about = About(
        recipe.name, recipe.version, recipe.description, recipe.licence, provenance, words
    )
    tokenizer = tokenizer_of(recipe, root)
    return write_text_bundle(
        out, encoder, recipe.input, tokenizer, judged, about, weights, recipe.seed
    )


def cosine_distances(pairs: TextPairs, embeddings: Embeddings) -> npt.NDArray[np.float64]:
    """Return the distance (m,) of each pair, of embeddings of norm 1 of its texts."""
    products = (embeddings[pairs.a] * embeddings[pairs.b]).sum(axis=1)
    distances: npt.NDArray[np.float64] = 1 - products.astype(np.float64)
    return distances


def closeness(pairs: TextPairs, embeddings: Embeddings, same_from: float | None) -> Pairs:
    """Return the negated distances of pairs that are the same and of those that are not."""
    near = -cosine_distances(pairs, embeddings).astype(np.float32)
    same = pairs.same(same_from)
    return Pairs(np.sort(near[same]), np.sort(near[~same]))


def strangers(groups: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Return rows of texts that are alone in their group, in random order, at most so many."""
    alone = np.flatnonzero(np.bincount(groups)[groups] == 1)
    return np.random.default_rng(seed).permutation(alone)[:MOST_STRANGERS]


def _identities(embeddings: Embeddings, groups: npt.NDArray[np.int64]) -> Embedded:
    """Return the texts that have a paraphrase, each group of them an identity."""
    several = np.bincount(groups)[groups] > 1
    labels = np.unique(groups[several], return_inverse=True)[1].astype(np.int64)
    nobody = np.full(len(labels), "", np.str_)
    return Embedded(
        embeddings[several], labels, np.zeros_like(labels), nobody, "cosine", np.negative
    )


def _examples(inputs: Sequence[Windows], long: Windows) -> list[Windows]:
    """Return samples from the shortest to the longest, and one of several windows."""
    by_length = sorted(inputs, key=lambda windows: len(windows[0]))
    steps = np.linspace(0, len(by_length) - 1, EXAMPLES - 1).astype(int)
    return [*(by_length[step] for step in steps), long]
