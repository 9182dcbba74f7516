import pytest
import torch
from pydantic import ValidationError

from training.networks import untrained
from training.recipe import Loss, read_recipe


@pytest.fixture
def with_losses(recipe_file):
    """Return what a recipe is with other losses."""
    recipe = read_recipe(recipe_file)

    def changed(*losses):
        return recipe.model_copy(update={"losses": losses})

    return changed


@pytest.mark.parametrize(
    ("losses", "distance", "normalised"),
    [
        ([Loss(kind="supcon")], "cosine", True),
        ([Loss(kind="triplet", distance="cosine")], "cosine", True),
        ([Loss(kind="supcon"), Loss(kind="triplet-all")], "l2", True),
        ([Loss(kind="bce", distance="l1"), Loss(kind="contrastive")], "l1", True),
        ([Loss(kind="bce-elementwise")], "l1", False),
        ([Loss(kind="triplet"), Loss(kind="bce-elementwise")], "l1", False),
    ],
)
def test_embeddings_are_compared_as_the_losses_do(with_losses, losses, distance, normalised):
    recipe = with_losses(*losses)

    assert (recipe.distance, recipe.normalised) == (distance, normalised)


def test_judged_pairs_are_compared_by_their_cosines_only(recipe_file):
    text = recipe_file.read_text().replace("[input]", "[data.pairs]\ntrain=[]\nval=[]\n\n[input]")
    recipe_file.write_text(
        text.replace("parameters = { temperature = 0.1 }", "").replace("supcon", "triplet")
    )

    with pytest.raises(ValidationError, match="losses of cosines"):
        read_recipe(recipe_file)


def test_a_network_that_keeps_lengths_is_not_for_cosines(recipe_file):
    text = recipe_file.read_text().replace("dimension = 8", "dimension = 8\nnormalised = false")
    recipe_file.write_text(text)

    with pytest.raises(ValidationError, match="cosines are of normalised embeddings"):
        read_recipe(recipe_file)

    recipe_file.write_text(
        text.replace("supcon", "triplet").replace("parameters = { temperature = 0.1 }", "")
    )
    recipe = read_recipe(recipe_file)
    assert (recipe.distance, recipe.normalised) == ("l2", False)
    assert recipe.alone(Loss(kind="triplet", distance="l1")).normalised is False
    assert recipe.alone(Loss(kind="supcon")).normalised is True


def test_a_network_that_keeps_lengths_gives_other_lengths_than_1(recipe_file):
    text = recipe_file.read_text().replace("dimension = 8", "dimension = 2\nnormalised = false")
    plain = text.replace("supcon", "triplet").replace("parameters = { temperature = 0.1 }", "")
    recipe_file.write_text(plain)
    recipe = read_recipe(recipe_file)

    given = torch.rand(9, *recipe.input.shape, generator=torch.Generator().manual_seed(0))
    found = untrained(recipe).eval()(given)

    assert found.shape == (9, 2)
    assert ((found.norm(dim=1) - 1).abs() > 1e-3).any()
    on_the_circle = untrained(recipe.alone(Loss(kind="supcon"))).eval()(given)
    assert torch.allclose(on_the_circle.norm(dim=1), torch.ones(9))
