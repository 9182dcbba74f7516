"""Two encoders from a recipe: what they learn from, how one side finds the other, a bundle."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt
from torch import nn

from evaluation.__main__ import write_whole
from evaluation.calibration import score_of
from evaluation.two_sided import (
    TwoSided,
    calibrate_two_sided,
    of_direction,
    open_set,
    recall,
    recalls,
    strangers,
)
from index.gallery import Embeddings
from models_store.bundle import open_bundle
from models_store.comparator import Comparator
from models_store.manifest import MANIFEST_NAME, Metric, Provenance
from models_store.preparation import preparation
from models_store.sample import Sample, SampleLimits
from training.captions import Captioned, Row, read_captions
from training.export import TrainedEncoder, export_bundle
from training.fit import Epoch
from training.recipe import Recipe
from training.towers import (
    as_towers,
    embed_both,
    embed_by,
    text_preparation,
    tokenizer_of,
    two_sided,
)
from training.watch import CURVES, curves

EXAMPLES = 6  # test vectors of a side
RANK = 10
BUCKETS = 512  # of hashed words
RIDGES = (30.0, 100.0, 300.0, 1000.0)

Progress = Callable[[Sequence[Row]], Iterable[Row]]


def read_things(
    recipe: Recipe, root: Path | None, split: str, progress: Progress = iter
) -> Captioned:
    """Return things to learn from (`train`), to be judged on (`val`) or to calibrate on.

    `calibration` are those of validation and `captions.strangers` of the training split, which
    `train` does without.
    """
    other, asked = two_sided(recipe)
    root = root or recipe.data.root
    prepare = preparation(other.input, SampleLimits(), lambda name: (root / name).read_bytes())

    def read(name: str) -> Captioned:
        return read_captions(root / recipe.data.files, asked, prepare, name, progress)

    if split == "val":
        return read("val")
    learnt = read("train")
    kept_back = np.zeros(len(learnt), np.bool_)
    random = np.random.default_rng(recipe.seed)
    kept_back[random.permutation(len(learnt))[: asked.strangers]] = True
    return (
        learnt.only(~kept_back) if split == "train" else read("val").joined(learnt.only(kept_back))
    )


class RetrievalWatch:
    """Measures two encoders on things held out, and keeps curves of it in a folder."""

    def __init__(self, recipe: Recipe, held_out: Captioned, out: Path) -> None:
        self._recipe = recipe
        self._held_out = held_out
        self._out = out

    def validate(self, towers: nn.Module) -> Epoch:
        """Return recall at 10 in both directions; left out where too few are held out to say."""
        samples = embed_by(towers, self._recipe, self._held_out)
        found = {
            "recall a→b": recall(samples, "a", RANK, self._recipe.seed),
            "recall b→a": recall(samples, "b", RANK, self._recipe.seed),
        }
        return {name: each.value for name, each in found.items() if each.value is not None}

    def draw(self, history: Sequence[Epoch]) -> None:
        """Draw `curves.png` after a validation: how loss and recall went."""
        if "recall a→b" not in history[-1]:
            return
        self._out.mkdir(parents=True, exist_ok=True)
        curves(history).savefig(self._out / CURVES, dpi=120)


def export_towers(
    recipe: Recipe,
    towers: nn.Module,
    held_out: Captioned,
    judged: Captioned,
    out: Path,
    provenance: Provenance,
) -> Comparator:
    """Calibrate two fitted encoders on things held out and write their bundle.

    Its figures are of those `judged`, which may be some of them.
    """
    other, asked = two_sided(recipe)
    both = as_towers(towers)
    samples = embed_by(both, recipe, held_out)
    calibrated = calibrate_two_sided(samples, recipe.seed)
    scored = embed_by(both, recipe, judged).scored(score_of(calibrated.head))
    prepare = text_preparation(recipe)
    texts = {text for texts in held_out.texts for text in texts}
    by_length = sorted(texts, key=lambda text: (len(text), text))
    some = by_length[:: len(by_length) // EXAMPLES][:EXAMPLES]
    return export_bundle(
        out,
        TrainedEncoder(
            both.a,
            recipe.input,
            [prepare(text.encode()) for text in some],
            tokenizer_of(recipe),
        ),
        TrainedEncoder(both.b, other.input, [one[0] for one in held_out.pictures[:EXAMPLES]]),
        name=recipe.name,
        version=recipe.version,
        description=recipe.description,
        licence=recipe.licence,
        distance="cosine",
        normalised=True,
        calibrated=calibrated,
        cohort=strangers(samples.a),
        cohort_b=strangers(samples.b),
        metrics=(
            *recalls(scored, recipe.seed, asked.sentences),
            *open_set(samples.scored(score_of(calibrated.head)), recipe.seed),
        ),
        provenance=provenance,
        words=recipe.card,
    )


def price_again(
    comparator: Comparator, bundle: Path, recipe: Recipe, held_out: Captioned, out: Path
) -> Comparator:
    """Write a bundle of two encoders with its calibration measured again, by its own head.

    All files but the manifest stay as they are, byte by byte.
    """
    samples = _as_served(comparator, recipe, held_out)
    manifest = comparator.manifest.model_copy(
        update={
            "calibration": of_direction(samples, "a", recipe.seed),
            "calibration_b": of_direction(samples, "b", recipe.seed),
        }
    )
    out.mkdir(parents=True, exist_ok=True)
    for name in manifest.files:
        (out / name).write_bytes((bundle / name).read_bytes())
    write_whole(out / MANIFEST_NAME, manifest.model_dump_json(indent=1))
    return open_bundle(out)


def measure(comparator: Comparator, recipe: Recipe, things: Captioned, seed: int) -> list[Metric]:
    """Return how well each side of a bundle, as it is served, finds the other."""
    _, asked = two_sided(recipe)
    return list(recalls(_as_served(comparator, recipe, things), seed, asked.sentences))


def _as_served(comparator: Comparator, recipe: Recipe, things: Captioned) -> TwoSided:
    def embed_texts(texts: list[str]) -> Embeddings:
        given = [comparator.prepare(Sample(text.encode(), "text"), "a") for text in texts]
        return comparator.embed(given, "a")

    return embed_both(
        recipe,
        things,
        embed_texts,
        lambda pictures: comparator.embed(pictures, "b"),
        comparator.score,
    )


def linear_map(recipe: Recipe, learnt: Captioned, held_out: Captioned) -> Iterator[Metric]:
    """Yield what a ridge regression from pixels to hashed words comes to, by the best of ridges.

    Texts are bags of words hashed to 512 places; pictures are as the encoder gets them, shrunk to
    a third. Choosing the ridge on the very things held out flatters it.
    """
    _, asked = two_sided(recipe)
    pixels, words = _pixels(learnt), _hashed(learnt)
    middle, mean = pixels.mean(axis=0), words.mean(axis=0)
    x = pixels - middle
    targets = np.repeat(
        words.reshape(len(learnt), -1, BUCKETS).mean(axis=1), len(learnt.pictures[0]), axis=0
    )
    gram, moment = x.T @ x, x.T @ (targets - mean)
    best: list[Metric] = []
    for ridge in RIDGES:
        weights = np.linalg.solve(gram + ridge * np.eye(len(gram)), moment)
        samples = TwoSided.of(
            _unit(_hashed(held_out) - mean),
            _unit((_pixels(held_out) - middle) @ weights),
            asked.texts,
            asked.styles,
        )
        found = list(recalls(samples, recipe.seed, asked.sentences))
        if not best or sum(m.value for m in found) > sum(m.value for m in best):
            best = found
    yield from (
        metric.model_copy(update={"name": f"{metric.name}, linear map"}) for metric in best
    )


def _pixels(things: Captioned) -> npt.NDArray[np.float32]:
    """Return every picture (n · pictures, values), shrunk to a third."""
    pictures = np.stack([picture[0] for own in things.pictures for picture in own])
    n, channels, height, width = pictures.shape
    thirds = pictures[:, :, : height // 3 * 3, : width // 3 * 3]
    small = thirds.reshape(n, channels, height // 3, 3, width // 3, 3).mean(axis=(3, 5))
    flat: npt.NDArray[np.float32] = small.reshape(n, -1)
    return flat


def _hashed(things: Captioned) -> npt.NDArray[np.float32]:
    """Return the words of every text (n · texts, buckets)."""
    texts = [text for own in things.texts for text in own]
    bags = np.zeros((len(texts), BUCKETS), np.float32)
    for bag, text in zip(bags, texts, strict=True):
        for word in text.lower().replace("-", " ").split():
            bag[crc32(word.encode()) % BUCKETS] += 1  # hash() is another in each process
    return _unit(bags)


def _unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    unit: npt.NDArray[np.float32] = rows / np.maximum(
        np.linalg.norm(rows, axis=1, keepdims=True), 1e-9
    )
    return unit.astype(np.float32)
