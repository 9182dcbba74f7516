import numpy as np
import pytest
from PIL import Image

from evaluation.pairs import Embedded
from models_store.preparation import preparation
from models_store.sample import SampleLimits
from training.datasets import open_collection, read_splits
from training.networks import untrained
from training.recipe import read_recipe
from training.watch import CURVES, MAPS, PROJECTOR, Watch, open_set_miss_rate


def embedded(spread, identities=60, each=8, seed=0):
    """Identities as points on a sphere, their samples `spread` around them."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(identities), each)
    points = random.normal(size=(identities, 16))[labels]
    points += spread * random.normal(size=points.shape)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return Embedded(
        points.astype(np.float32),
        labels,
        np.zeros_like(labels),
        np.full(len(labels), ""),
        "cosine",
        np.negative,
    )


def test_the_miss_rate_is_0_where_identities_lie_apart_and_near_1_where_they_are_noise():
    assert open_set_miss_rate(embedded(0.01), seed=1) == 0
    assert open_set_miss_rate(embedded(50), seed=1) > 0.9
    assert 0 < open_set_miss_rate(embedded(0.9), seed=1) < 0.9


def test_too_few_identities_have_no_miss_rate():
    assert open_set_miss_rate(embedded(0.1, identities=10), seed=1) is None


@pytest.fixture
def watched(glyphs, recipe_file, tmp_path):
    recipe = read_recipe(recipe_file)
    prepare = preparation(recipe.input, SampleLimits(), lambda _: b"")
    splits = read_splits(glyphs / recipe.data.splits)
    held_out = open_collection(glyphs / "pictures").chosen(lambda f: splits[f.group] == "val")
    watch = Watch(held_out.samples(prepare), recipe, tmp_path / "run")
    return watch, recipe, tmp_path / "run"


def test_a_validation_leaves_curves_a_map_and_the_projectors_files(watched):
    watch, recipe, run = watched

    figures = watch.validate(untrained(recipe))
    watch.draw([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.5} | figures])

    for picture in (run / CURVES, run / MAPS / "002.png"):
        assert Image.open(picture).getextrema() != ((255, 255),) * 4
    vectors = np.loadtxt(run / PROJECTOR / "vectors.tsv", delimiter="\t")
    names = (run / PROJECTOR / "metadata.tsv").read_text().splitlines()
    assert vectors.shape == (30, 8)
    assert names[0] == "Arcs/character00"
    assert len(names) == 30


def test_the_same_validation_is_the_same_picture(watched):
    watch, recipe, run = watched
    pictures = []
    for _ in range(2):
        watch.validate(untrained(recipe))
        watch.draw([{"epoch": 1, "loss": 2.0}])
        pictures.append((run / MAPS / "001.png").read_bytes())

    assert pictures[0] == pictures[1]


def test_an_epoch_without_a_validation_draws_no_map(watched):
    watch, _, run = watched

    watch.draw([{"epoch": 1, "loss": 2.0}])

    assert (run / CURVES).exists()
    assert not (run / MAPS).exists()
