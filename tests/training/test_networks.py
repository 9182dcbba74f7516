import pytest
import torch

from training.augmentation import augment
from training.networks import AveragedViews, ResidualEncoder, embed
from training.recipe import Augmentation, Network

SHAPE = (1, 16, 16)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ResidualEncoder(SHAPE, Network(stem=4, widths=(6, 8), dimension=5)).eval()


def corner():
    image = torch.zeros(1, *SHAPE)
    image[0, 0, 1, 2] = 1  # row 1, column 2
    return image


def test_embeddings_have_norm_1_whatever_the_batch(encoder):
    images = torch.randn(5, *SHAPE).numpy()

    together, apart = embed(encoder, images), embed(encoder, images, at_once=2)

    assert together.shape == (5, 5)
    assert (together**2).sum(1) == pytest.approx(1, abs=1e-5)
    assert together == pytest.approx(apart, abs=1e-6)


def test_one_view_of_the_whole_picture_is_the_encoder_itself(encoder):
    images = torch.randn(3, *SHAPE)

    averaged = AveragedViews(encoder, SHAPE, (1.0,))

    assert torch.allclose(averaged(images), encoder(images), atol=1e-5)


def test_a_quarter_turn_is_exact_and_four_of_them_are_none():
    turned = augment(corner(), torch.tensor([1]), Augmentation())

    assert turned.sum() == pytest.approx(1, abs=1e-4)
    assert torch.allclose(turned, torch.rot90(corner(), -1, (2, 3)), atol=1e-4) or torch.allclose(
        turned, torch.rot90(corner(), 1, (2, 3)), atol=1e-4
    )
    for _ in range(3):
        turned = augment(turned, torch.tensor([1]), Augmentation())
    assert torch.allclose(turned, corner(), atol=1e-4)


def test_no_augmentation_changes_nothing_and_some_changes_every_image():
    images = torch.randn(4, *SHAPE)
    upright = torch.zeros(4, dtype=torch.long)

    still = augment(images, upright, Augmentation())
    moved = augment(images, upright, Augmentation(rotation=10, shear=5, scale=0.1, stroke=0.5))

    assert torch.allclose(still, images, atol=1e-4)
    assert ((moved - images).abs().amax((1, 2, 3)) > 0.1).all()


def test_paper_comes_in_from_outside_the_picture():
    ink = -torch.ones(8, *SHAPE)

    moved = augment(ink, torch.zeros(8, dtype=torch.long), Augmentation(translation=0.3))

    assert moved.amax() == 0
    assert moved.amin() >= -1 - 1e-4
