"""Two encoders learn from captioned pictures; one encoder is the same with `b` left out."""

import random

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from typer.testing import CliRunner

from models_store import open_bundle
from models_store.sample import Sample, WrongModality
from tests.training.emoji import draw, write_shapes
from training.__main__ import app
from training.fit import CHECKPOINT, fit, fitted
from training.networks import Towers, untrained
from training.recipe import Recipe, Wording, read_recipe
from training.retrieval import RetrievalWatch, linear_map, measure, read_things
from training.towers import captioned_task, worded

TEXTS, KEYWORDS = ("big red disc", "red disc"), ("round", "ruby", "small thing")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp("shapes")
    return read_recipe(write_shapes(root)), root


@pytest.fixture(scope="module")
def learnt(shapes, tmp_path_factory):
    """A fit's folder."""
    recipe, root = shapes
    out = tmp_path_factory.mktemp("fit")
    watch = RetrievalWatch(recipe, read_things(recipe, root, "val"), out)
    task = captioned_task(recipe, read_things(recipe, root, "train"))
    fit(recipe, task, out, cpu(), validate=watch.validate, report=watch.draw)
    return out


@pytest.fixture(scope="module")
def folder(shapes, learnt, tmp_path_factory):
    """A bundle's folder, made by the commands."""
    _, root = shapes
    out = tmp_path_factory.mktemp("bundles") / "shapes" / "1"
    run("fit", root / "shapes.toml", "--data", root, "--out", learnt)
    run("export", root / "shapes.toml", "--data", root, "--run", learnt, "--out", out)
    return out


@pytest.fixture(scope="module")
def bundle(folder):
    return open_bundle(folder)


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def cpu() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def test_siamese_is_a_recipe_without_b(shapes):
    recipe, _ = shapes
    alone = recipe.model_copy(update={"b": None, "captions": None})

    assert isinstance(untrained(recipe), Towers)
    assert type(untrained(alone)) is type(untrained(recipe).a)


@pytest.mark.parametrize("part", ["b", "captions"])
def test_two_encoders_and_captions_come_together(shapes, part):
    fields = shapes[0].model_dump(exclude={part})

    with pytest.raises(ValueError, match="`b` and `captions`, or neither"):
        Recipe.model_validate(fields)


def test_two_networks_of_unlike_dimension_are_refused(shapes):
    fields = shapes[0].model_dump()
    fields["b"]["network"]["dimension"] = 8

    with pytest.raises(ValueError, match="one dimension"):
        Recipe.model_validate(fields)


def test_a_batch_has_each_thing_once_with_its_text_and_picture(shapes):
    recipe, root = shapes
    things = read_things(recipe, root, "train")
    task = captioned_task(recipe, things)

    rows = next(task.batches.epoch(0))
    label, ids, mask, pictures = task.feed(rows)

    assert len(label.unique()) == recipe.batches.labels == len(ids) == len(mask)
    assert pictures.shape == (16, 3, 16, 16)
    assert ((ids > 0) == (mask == 1)).all()


@pytest.mark.slow
def test_a_fit_learns_to_bring_texts_and_pictures_together(shapes, learnt):
    recipe, root = shapes
    things = read_things(recipe, root, "train")

    first, last = (
        RetrievalWatch(recipe, things, learnt).validate(towers)
        for towers in (untrained(recipe), fitted(recipe, learnt))
    )

    assert last["recall a→b"] > first["recall a→b"]
    assert last["recall b→a"] > first["recall b→a"]
    assert (learnt / "curves.png").stat().st_size > 1000


@pytest.mark.slow
def test_a_fit_goes_on_to_the_same_weights(shapes, learnt, tmp_path):
    recipe, root = shapes

    class Killed(Exception):
        pass

    def stop(history):
        if len(history) == 12:
            raise Killed

    for report in (stop, lambda _: None):
        task = captioned_task(recipe, read_things(recipe, root, "train"))
        try:
            fit(recipe, task, tmp_path, cpu(), report=report)
        except Killed:
            assert (tmp_path / CHECKPOINT).exists()

    whole, resumed = fitted(recipe, learnt).state_dict(), fitted(recipe, tmp_path).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.slow
def test_the_bundle_takes_texts_on_one_side_and_pictures_on_the_other(bundle):
    text, picture = Sample(b"red disc", "text"), Sample(draw("red", "disc", lined=False), "image")

    a = bundle.embed([bundle.prepare(text, "a")], "a")
    b = bundle.embed([bundle.prepare(picture, "b")], "b")

    assert a.shape == b.shape == (1, 16)
    assert not bundle.manifest.tied
    for sample, side in ((text, "b"), (picture, "a")):
        with pytest.raises(WrongModality, match=f"side {side} of shapes@1 compares"):
            bundle.prepare(sample, side)


@pytest.mark.slow
def test_the_bundle_has_strangers_and_a_calibration_of_both_sides(bundle):
    assert len(bundle.cohorts["a"]) == len(bundle.cohorts["b"]) == 20
    assert not np.allclose(bundle.cohorts["a"], bundle.cohorts["b"], atol=0.05)
    assert bundle.manifest.calibration != bundle.manifest.calibration_b
    assert {metric.name for metric in bundle.manifest.metrics} == {
        f"recall@{rank} {direction}" for rank in (1, 5, 10) for direction in ("a→b", "b→a")
    }


@pytest.mark.slow
def test_what_is_served_is_what_was_measured(bundle, shapes):
    recipe, root = shapes

    found = measure(bundle, recipe, read_things(recipe, root, "val"), recipe.seed)

    assert [m.value for m in found] == pytest.approx([m.value for m in bundle.manifest.metrics])


@pytest.mark.slow
def test_two_encoders_are_priced_again_and_all_other_files_stay(folder, bundle, shapes, tmp_path):
    _, root = shapes

    run("recalibrate", root / "shapes.toml", folder, "--data", root, "--out", tmp_path / "1")

    again = open_bundle(tmp_path / "1")
    for name in bundle.manifest.files:
        assert (tmp_path / "1" / name).read_bytes() == (folder / name).read_bytes()
    assert again.manifest.head == bundle.manifest.head
    for ours, theirs in (
        (again.manifest.calibration, bundle.manifest.calibration),
        (again.manifest.calibration_b, bundle.manifest.calibration_b),
    ):
        assert ours.cluster_threshold == theirs.cluster_threshold
        assert ours.genuine.by_samples[1] == pytest.approx(theirs.genuine.by_samples[1], abs=1e-4)


def test_a_linear_map_tells_colours_of_shapes_held_out(shapes):
    recipe, root = shapes
    learnt, held_out = (read_things(recipe, root, split) for split in ("train", "val"))

    found = {m.name: m.value for m in linear_map(recipe, learnt, held_out)}

    assert found["recall@5 a→b, linear map"] > 2 * 5 / 16
    assert found["recall@1 a→b, linear map"] <= found["recall@5 a→b, linear map"]


def test_what_is_said_of_a_thing_comes_from_what_it_is_called():
    chance = random.Random(0)
    how = Wording(keywords=0.4, more=0.3, dropped=0.3)
    words = {word for text in (*TEXTS, *KEYWORDS) for word in text.split()}

    said = [worded(TEXTS, KEYWORDS, how, chance) for _ in range(500)]

    assert {word for text in said for word in text.split()} == words
    assert all(said)
    assert len(set(said)) > 30
    assert {worded(TEXTS, (), Wording(), chance) for _ in range(50)} == set(TEXTS)


@pytest.mark.slow
def test_evaluate_tells_recall_beside_that_of_a_linear_map(folder, shapes):
    _, root = shapes

    told = run("evaluate", folder, "--data", root)

    assert "recall@10 a→b" in told
    assert "linear map" in told
