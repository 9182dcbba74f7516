import math
from typing import get_args

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from tests.training.batches import batch
from training.heads import ElementwiseHead, Folded
from training.losses import WeightedLosses
from training.recipe import Loss, LossKind, Recipe, read_recipe

OTHER_BATCHES = ("info-nce", "cosent")  # of two encoders, of judged pairs
KINDS = [kind for kind in get_args(LossKind) if kind not in OTHER_BATCHES]
SEVERAL = [kind for kind in KINDS if kind.startswith(("bce", "contrastive", "triplet"))]


def losses(*kinds, labels=5, dimension=4, **given):
    return WeightedLosses(tuple(Loss(kind=kind, **given) for kind in kinds), labels, dimension)


def at(degrees):
    """Return unit vectors at these angles, which ask for a gradient."""
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1).requires_grad_()


def chord(degrees):
    return 2 * math.sin(math.radians(degrees) / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_loss_falls_as_its_gradient_is_followed(kind):
    torch.manual_seed(1)
    loss_of = losses(kind)
    embeddings, labels = batch(seed=1)
    free = embeddings.detach().float().requires_grad_()
    step = torch.optim.Adam([free, *loss_of.parameters()], lr=0.02)
    seen = []

    for _ in range(60):
        step.zero_grad()
        loss = loss_of(nn.functional.normalize(free, dim=1), labels)
        loss.backward()
        step.step()
        seen.append(loss.item())

    assert sum(seen[-5:]) < sum(seen[:5])


@pytest.mark.parametrize("kind", KINDS)
def test_every_loss_and_gradient_is_finite_where_embeddings_are_equal(kind):
    embeddings = torch.full((10, 4), 0.5, requires_grad=True)
    loss_of = losses(kind)

    loss = loss_of(embeddings, torch.arange(5).repeat(2))
    loss.backward()

    assert torch.isfinite(loss)
    assert torch.isfinite(embeddings.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in loss_of.parameters())


@pytest.mark.parametrize("distance", ["cosine", "l2", "l1"])
@pytest.mark.parametrize("kind", [kind for kind in SEVERAL if kind != "bce-elementwise"])
def test_a_distance_of_zero_has_a_finite_gradient_by_any_distance(kind, distance):
    embeddings = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 1]], requires_grad=True)

    loss = losses(kind, dimension=2, distance=distance)(embeddings, torch.tensor([0, 0, 1, 1]))
    loss.backward()

    assert torch.isfinite(loss)
    assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_right_labels_lose_less_than_the_wrong_ones(kind):
    torch.manual_seed(0)
    centres = nn.functional.normalize(torch.randn(5, 4), dim=1)
    embeddings = nn.functional.normalize(centres.repeat(3, 1) + 0.05 * torch.randn(15, 4), dim=1)
    right, wrong = torch.arange(5).repeat(3), torch.arange(5).repeat_interleave(3)
    loss_of = losses(kind)
    learnt = {(4, 5): centres.T, (5, 4): centres, (4, 15): centres.T.repeat_interleave(3, 1)}
    for parameter in loss_of.parameters():  # the vectors of each label, as a fit would find them
        parameter.data = learnt.get(tuple(parameter.shape), parameter.data).clone()

    lost = [loss_of(embeddings, labels).item() for labels in (right, wrong)]

    assert lost[0] < lost[1]


def test_a_triplet_loses_by_how_much_too_near_the_negative_is():
    embeddings = at([0.0, 60.0, 90.0])
    loss_of = losses("triplet-all", parameters={"margin": 0.5})

    loss = loss_of(embeddings, torch.tensor([0, 0, 1]))

    anchors = [1 - chord(90) + 0.5, 1 - chord(30) + 0.5]  # of 0° and of 60°; 60° is a chord of 1
    assert loss.item() == pytest.approx(sum(anchors) / 2, abs=1e-6)
    assert loss_of.active == 1


def test_the_mean_is_over_triplets_that_cost_something_and_active_is_their_share():
    embeddings = at([0.0, 20.0, 90.0])
    loss_of = losses("triplet-all", parameters={"margin": 0.9})

    loss = loss_of(embeddings, torch.tensor([0, 0, 1]))

    assert loss.item() == pytest.approx(chord(20) - chord(70) + 0.9, abs=1e-6)
    assert loss_of.active == 0.5  # from 0° the negative is far enough


def test_hardest_negatives_cost_more_than_any():
    embeddings, labels = batch(labels=4, samples=4, unit=True)

    lost = {
        kind: losses(kind, labels=4)(embeddings, labels).item()
        for kind in ("triplet", "triplet-all", "triplet-hardest")
    }

    assert lost["triplet-hardest"] > max(lost["triplet"], lost["triplet-all"])


def test_contrastive_pulls_by_half_the_square_and_pushes_to_the_margin():
    embeddings = at([0.0, 60.0, 90.0])
    loss_of = losses("contrastive", parameters={"margin": 1.2})

    loss = loss_of(embeddings, torch.tensor([0, 0, 1]))

    genuine = 1 / 2
    impostors = [0, (1.2 - chord(30)) ** 2 / 2]  # 90° is beyond the margin
    assert loss.item() == pytest.approx(genuine + sum(impostors) / 2, abs=1e-6)
    assert loss_of.active == 0.5


def test_hard_negatives_alone_cost_more_than_all_of_them():
    embeddings, labels = batch(labels=4, samples=2)

    lost = [
        losses(kind)(embeddings, labels).item() for kind in ("contrastive", "contrastive-hard")
    ]

    assert lost[0] < lost[1]


def test_cosine_embedding_is_torchs():
    embeddings, labels = batch()
    a, b = torch.triu_indices(15, 15, 1)
    same = labels[a] == labels[b]

    loss = losses("cosine-embedding", parameters={"margin": 0.2})(embeddings, labels)

    each = nn.CosineEmbeddingLoss(margin=0.2, reduction="none")(
        embeddings[a], embeddings[b], torch.where(same, 1, -1)
    )
    assert loss.item() == pytest.approx((each[same].mean() + each[~same].mean()).item(), abs=1e-6)


def test_the_softmax_classifier_is_a_linear_layer_of_unit_rows():
    embeddings, labels = batch()
    loss_of = losses("softmax-classifier", parameters={"temperature": 0.1}).double()
    (rows,) = loss_of.parameters()  # (d, labels)

    loss = loss_of(embeddings, labels)

    logits = embeddings @ nn.functional.normalize(rows, dim=0) / 0.1
    assert loss.item() == pytest.approx(nn.functional.cross_entropy(logits, labels).item())


def test_a_batch_without_impostors_or_without_genuine_pairs_loses_nothing_undefined():
    embeddings, _ = batch(labels=3, samples=1)
    for labels in (torch.zeros(3, dtype=torch.long), torch.arange(3)):
        for kind in SEVERAL:
            assert torch.isfinite(losses(kind)(embeddings, labels)), kind


def test_losses_are_summed_by_weight():
    embeddings, labels = batch()
    weighted = WeightedLosses(
        (Loss(kind="supcon", weight=0.5), Loss(kind="contrastive", weight=2)), 5, 4
    )

    apart = [losses(kind)(embeddings, labels).item() for kind in ("supcon", "contrastive")]

    assert weighted(embeddings, labels).item() == pytest.approx(0.5 * apart[0] + 2 * apart[1])


def test_a_loss_without_a_margin_has_no_active_share():
    embeddings, labels = batch()
    plain, mixed = losses("supcon"), losses("supcon", "triplet-hardest")

    for loss_of in (plain, mixed):
        loss_of(embeddings, labels)

    assert plain.active is None
    assert 0 < mixed.active < 1


def test_two_encoders_embeddings_are_samples_of_the_same_labels():
    a, labels = batch(seed=1)
    b, _ = batch(seed=2)
    both = torch.cat([a, b]), torch.cat([labels, labels])

    assert torch.equal(losses("supcon")(a, labels, b), losses("supcon")(*both))


def test_info_nce_compares_two_encoders_and_says_so_where_there_is_one():
    embeddings, labels = batch()

    assert losses("info-nce")(embeddings, labels, embeddings) < losses("info-nce")(
        embeddings, labels, embeddings.roll(1, 0)
    )
    with pytest.raises(ValueError, match="two encoders"):
        losses("info-nce")(embeddings, labels)


def test_an_elementwise_head_is_folded_into_the_encoder_and_nothing_else_is():
    encoder = nn.Linear(4, 4)

    folded = losses("bce-elementwise", distance="l1").folded(encoder)

    assert isinstance(folded, Folded)
    assert losses("bce", "supcon").folded(encoder) is encoder
    assert isinstance(losses("bce-elementwise").terms[0], ElementwiseHead)


@pytest.mark.parametrize(
    ("kind", "distance"), [("supcon", "l2"), ("ge2e-softmax", "l1"), ("bce-elementwise", "cosine")]
)
def test_a_distance_that_a_loss_cannot_have_is_refused(kind, distance):
    with pytest.raises(ValidationError, match="cannot be given the distance"):
        Loss(kind=kind, distance=distance)


def test_a_parameter_that_a_loss_does_not_know_is_refused():
    for kind in KINDS:
        with pytest.raises(TypeError, match="tempature"):
            losses(kind, parameters={"tempature": 0.1})


def test_a_recipe_whose_loss_learns_must_say_how_fast(recipe_file):
    recipe = read_recipe(recipe_file)
    fields = recipe.model_dump() | {"losses": [{"kind": "ge2e-softmax"}]}

    with pytest.raises(ValidationError, match="proxy_learning_rate"):
        Recipe.model_validate(fields)

    moved = recipe.optimisation.model_copy(update={"proxy_learning_rate": 1e-2})
    Recipe.model_validate(fields | {"optimisation": moved.model_dump()})
