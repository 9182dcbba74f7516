import pytest
import torch

from models_store.manifest import ImageInput
from training.augmentation import augment
from training.networks import AveragedViews, ResidualEncoder, embed
from training.recipe import Augmentation
from training.shapes import ResidualNetwork

SHAPE = (1, 16, 16)
SPEC = ImageInput(width=16, height=16, mode="L")
STILL = Augmentation()


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ResidualEncoder(SHAPE, ResidualNetwork(stem=4, widths=(6, 8), dimension=5)).eval()


def corner():
    image = torch.zeros(1, *SHAPE)
    image[0, 0, 1, 2] = 1  # row 1, column 2
    return image


def test_embeddings_have_norm_1_whatever_the_batch(encoder):
    images = [(image,) for image in torch.randn(5, *SHAPE).numpy()]

    together, apart = embed(encoder, images, SPEC), embed(encoder, images, SPEC, at_once=2)

    assert together.shape == (5, 5)
    assert (together**2).sum(1) == pytest.approx(1, abs=1e-5)
    assert together == pytest.approx(apart, abs=1e-6)


def test_one_view_of_the_whole_picture_is_the_encoder_itself(encoder):
    images = torch.randn(3, *SHAPE)

    averaged = AveragedViews(encoder, SHAPE, (1.0,))

    assert torch.allclose(averaged(images), encoder(images), atol=1e-5)


def test_a_quarter_turn_is_exact_and_four_of_them_are_none():
    turned = augment(corner(), torch.tensor([1]), STILL, STILL, 1)

    assert turned.sum() == pytest.approx(1, abs=1e-4)
    assert torch.allclose(turned, torch.rot90(corner(), -1, (2, 3)), atol=1e-4) or torch.allclose(
        turned, torch.rot90(corner(), 1, (2, 3)), atol=1e-4
    )
    for _ in range(3):
        turned = augment(turned, torch.tensor([1]), STILL, STILL, 1)
    assert torch.allclose(turned, corner(), atol=1e-4)


def test_no_augmentation_changes_nothing_and_some_changes_every_image():
    images = torch.randn(4, *SHAPE)
    upright = torch.zeros(4, dtype=torch.long)

    still = augment(images, upright, STILL, STILL, 1)
    some = Augmentation(rotation=10, shear=5, scale=0.1, stroke=0.5)
    moved = augment(images, upright, some, STILL, 1)

    assert torch.allclose(still, images, atol=1e-4)
    assert ((moved - images).abs().amax((1, 2, 3)) > 0.1).all()


def test_paper_comes_in_from_outside_the_picture():
    ink = -torch.ones(8, *SHAPE)

    moved = augment(ink, torch.zeros(8, dtype=torch.long), Augmentation(translation=0.3), STILL, 1)

    assert moved.amax() == 0
    assert moved.amin() >= -1 - 1e-4


def test_samples_of_one_label_are_moved_alike_and_other_labels_otherwise():
    images = torch.randn(1, *SHAPE).repeat(6, 1, 1, 1)
    much = Augmentation(rotation=40, scale=0.3, elastic=0.05, mirror=0.5)

    moved = augment(images, torch.zeros(6, dtype=torch.long), STILL, much, 3)

    assert torch.allclose(moved[0], moved[2], atol=1e-4)
    assert torch.allclose(moved[3], moved[5], atol=1e-4)
    assert (moved[0] - moved[3]).abs().amax() > 0.1


def test_a_mirrored_label_is_drawn_from_right_to_left():
    moved = augment(corner(), torch.zeros(1, dtype=torch.long), STILL, Augmentation(mirror=1.0), 1)

    assert torch.allclose(moved, corner().flip(3), atol=1e-4)
