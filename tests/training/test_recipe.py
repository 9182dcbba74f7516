import pytest
from pydantic import ValidationError

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
