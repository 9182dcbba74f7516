from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from training.augmentation import augment
from training.composition import compose
from training.recipe import Augmentation, Composition, read_recipe

SAMPLES = 3
STILL = Augmentation()
HALVES = Composition(share=1.0, smallest=0.5, largest=0.5, aspect=0.0)


def batch(labels):
    """Return a batch of pictures filled with ink: each label has its shade, nearly."""
    shades = torch.arange(labels).repeat_interleave(SAMPLES)
    ink = -(1 + shades + 0.1 * torch.arange(SAMPLES).repeat(labels))
    return ink.view(-1, 1, 1, 1) * torch.ones(1, 1, 16, 16), 0 * shades, shades


def parts(image):
    """Return the labels whose shades fill a fair part of a picture."""
    values = image.abs()
    return {i for i in range(4) if ((values > i + 0.95) & (values < i + 1.25)).sum() > 30}


@given(
    labels=st.integers(1, 12),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**31),
    turn=st.integers(0, 3),
)
def test_a_composed_label_is_nobody_elses_and_all_others_stay_as_they_are(
    labels, share, seed, turn
):
    images, turns, own = batch(labels)
    torch.manual_seed(seed)

    composed, turned, found = compose(images, turns + turn, own, SAMPLES, Composition(share=share))

    new = found < 0
    assert new.sum() == SAMPLES * 4 * (int(labels * share) // 4)
    assert torch.equal(found, found[::SAMPLES].repeat_interleave(SAMPLES))
    assert len(found.unique()) == labels
    assert torch.equal(found[~new], own[~new])
    assert torch.equal(composed[~new], images[~new])
    assert torch.equal(turned, torch.where(new, 0, turn))


@pytest.mark.parametrize("seed", range(5))
def test_four_labels_make_four_of_two_parts_each_and_kin_differ_by_one(seed):
    torch.manual_seed(seed)

    images, _, _ = compose(*batch(4), SAMPLES, HALVES)

    of = [parts(image) for image in images]
    made = of[::SAMPLES]
    assert of == [found for found in made for _ in range(SAMPLES)]
    assert all(len(found) == 2 for found in made)
    assert sorted(len(one & other) for one, other in combinations(made, 2)) == [0, 0, 1, 1, 1, 1]


def test_samples_and_kin_are_laid_out_alike_and_other_families_otherwise():
    torch.manual_seed(0)

    images, _, found = compose(*batch(8), SAMPLES, HALVES)

    layouts = {(image != 0).numpy().tobytes() for image in images}
    assert len(found.unique()) == 8
    assert len(layouts) == 2


def test_a_part_is_turned_as_its_label_is():
    torch.manual_seed(1)
    images, turns, labels = torch.randn(4 * SAMPLES, 1, 16, 16), *batch(4)[1:]
    before = augment(images, turns + 1, STILL, STILL, SAMPLES)

    torch.manual_seed(0)
    turned, _, _ = compose(images, turns + 1, labels, SAMPLES, HALVES)
    torch.manual_seed(0)
    expected, _, _ = compose(before, turns, labels, SAMPLES, HALVES)

    assert torch.allclose(turned, expected, atol=1e-4)


def test_the_same_seed_composes_the_same():
    def composed(seed):
        torch.manual_seed(seed)
        return compose(*batch(8), SAMPLES, Composition(share=0.5))[0]

    assert torch.equal(composed(5), composed(5))
    assert not torch.equal(composed(5), composed(6))


def test_without_a_share_nothing_is_drawn():
    torch.manual_seed(0)
    before = torch.get_rng_state()

    compose(*batch(8), SAMPLES, Composition())

    assert torch.equal(torch.get_rng_state(), before)


def test_composed_labels_have_no_proxies(recipe_file):
    text = recipe_file.read_text().replace(
        "[[losses]]", "[composition]\nshare = 0.5\n\n[[losses]]"
    )
    recipe_file.write_text(text)
    assert read_recipe(recipe_file).composition.share == 0.5

    text = text.replace("parameters = { temperature = 0.1 }", "").replace("supcon", "cosface")
    recipe_file.write_text(
        text.replace("learning_rate", "proxy_learning_rate = 1e-2\nlearning_rate")
    )

    with pytest.raises(ValidationError, match="cosface has no proxy"):
        read_recipe(recipe_file)
