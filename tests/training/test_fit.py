import json
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from models_store.preparation import preparation
from models_store.sample import SampleLimits
from training.datasets import open_collection, read_splits
from training.fit import CHECKPOINT, HISTORY, MISSED, RecipeChanged, fit, fitted
from training.heads import ElementwiseHead
from training.networks import embed
from training.recipe import Loss, read_recipe
from training.tasks import labelled_task


@pytest.fixture
def recipe(recipe_file):
    return read_recipe(recipe_file)


@pytest.fixture
def samples(glyphs, recipe):
    splits = read_splits(glyphs / recipe.data.splits)
    files = open_collection(glyphs / recipe.data.files)
    return files.chosen(lambda file: splits[file.group] == "train").samples(
        preparation(recipe.input, SampleLimits(), Path.read_bytes)
    )


def run(recipe, samples, out, **watched):
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    return fit(recipe, labelled_task(recipe, samples), out, fabric, **watched).state_dict()


class Killed(BaseException):
    pass


def test_a_run_killed_in_the_middle_resumes_to_the_same_weights_and_history(
    recipe, samples, tmp_path
):
    def kill(history):
        if len(history) == 2:
            raise Killed

    whole = run(recipe, samples, tmp_path / "whole")
    with pytest.raises(Killed):
        run(recipe, samples, tmp_path / "killed", report=kill)
    shown = []
    resumed = run(
        recipe, samples, tmp_path / "killed", report=lambda history: shown.append(len(history))
    )

    assert shown == [3]
    assert all(torch.equal(weight, resumed[name]) for name, weight in whole.items())
    histories = [(tmp_path / run / HISTORY).read_text() for run in ("whole", "killed")]
    assert histories[0] == histories[1]
    assert len(json.loads(histories[0])) == 3


def test_the_loss_falls(recipe, samples, tmp_path):
    longer = recipe.model_copy(
        update={"optimisation": recipe.optimisation.model_copy(update={"epochs": 12})}
    )
    losses = []

    run(longer, samples, tmp_path, report=lambda history: losses.append(history[-1]["loss"]))

    assert losses[-1] < losses[0]


def test_another_recipe_does_not_go_on_from_a_checkpoint(recipe, samples, tmp_path):
    run(recipe, samples, tmp_path)

    with pytest.raises(RecipeChanged):
        run(recipe.model_copy(update={"seed": 8}), samples, tmp_path)


def test_other_words_on_the_card_are_not_another_recipe(recipe, samples, tmp_path):
    run(recipe, samples, tmp_path)
    words = recipe.card.model_copy(update={"limits": "None known"})

    run(recipe.model_copy(update={"card": words}), samples, tmp_path)


def test_a_checkpoint_holds_the_weights_that_the_fit_returned(recipe, samples, tmp_path):
    returned = run(recipe, samples, tmp_path)

    stored = fitted(recipe, tmp_path).state_dict()

    assert all(torch.equal(weight, stored[name]) for name, weight in returned.items())
    assert {file.name for file in tmp_path.iterdir()} >= {CHECKPOINT, HISTORY}


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_what_leaves_a_fit_is_compared_as_its_element_wise_head_does(
    recipe, samples, tmp_path, distance
):
    quick = recipe.optimisation.model_copy(update={"proxy_learning_rate": 0.1})
    loss = Loss(kind="bce-elementwise", distance=distance)
    recipe = recipe.model_copy(update={"losses": (loss,), "optimisation": quick})
    task = labelled_task(recipe, samples)
    fabric = Fabric(accelerator="cpu", devices=1)

    returned = fit(recipe, task, tmp_path, fabric)

    (head,) = (part for part in task.objective.modules() if isinstance(part, ElementwiseHead))
    assert head.weights().std() > 0  # it learnt to look at some dimensions more
    for left in (returned, fitted(recipe, tmp_path), fitted(recipe, tmp_path, last=True)):
        folded = torch.from_numpy(embed(left, samples.inputs, recipe.input))
        plain = torch.from_numpy(embed(left.encoder, samples.inputs, recipe.input))
        far = torch.cdist(folded, folded, 1.0 if distance == "l1" else 2.0)
        served = head.bias - (far if distance == "l1" else far**2)
        assert torch.allclose(served, head.logits(plain, plain), atol=1e-3)


def test_the_best_weights_are_those_of_the_validation_that_missed_fewest(
    recipe, samples, tmp_path
):
    missed = iter([0.4, 0.2, 0.3])
    seen = []

    def validate(encoder):
        seen.append({name: value.clone() for name, value in encoder.state_dict().items()})
        return {MISSED: next(missed)}

    every = recipe.optimisation.model_copy(update={"validate_every": 1})
    recipe = recipe.model_copy(update={"optimisation": every})
    run(recipe, samples, tmp_path, validate=validate)

    best, last = fitted(recipe, tmp_path), fitted(recipe, tmp_path, last=True)
    assert all(torch.equal(value, seen[1][name]) for name, value in best.state_dict().items())
    assert all(torch.equal(value, seen[2][name]) for name, value in last.state_dict().items())


def test_the_history_tells_what_share_of_the_triplets_still_costs_anything(
    recipe, samples, tmp_path
):
    triplets = recipe.model_copy(update={"losses": (Loss(kind="triplet-semi-hard"),)})

    run(triplets, samples, tmp_path)

    history = json.loads((tmp_path / HISTORY).read_text())
    assert all(0 <= line["active"] <= 1 for line in history)
