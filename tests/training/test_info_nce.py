import math

import pytest
import torch
from torch.nn import functional

from training.info_nce import InfoNCE


def towers(n=5, seed=0):
    torch.manual_seed(seed)
    return torch.randn(2, n, 3)


def test_each_tower_finds_its_own_among_the_others():
    a, b = towers()
    cosine = functional.cosine_similarity(a[:, None], b[None], dim=2) / 0.07
    own = torch.arange(5)

    loss = InfoNCE()(a, b)

    expected = functional.cross_entropy(cosine, own) + functional.cross_entropy(cosine.T, own)
    assert loss.item() == pytest.approx(expected.item() / 2, rel=1e-5)


def test_towers_that_agree_lose_nothing_and_those_that_cannot_tell_lose_log_n():
    apart = torch.eye(8)

    agreed, blind = InfoNCE(0.01)(apart, apart), InfoNCE()(apart, torch.ones(8, 8))

    assert agreed.item() == pytest.approx(0, abs=1e-4)
    assert blind.item() == pytest.approx(math.log(8), rel=1e-5)


def test_rows_of_one_label_belong_together_by_equal_parts():
    a = torch.eye(3)
    labels = torch.tensor([0, 0, 1])

    loss = InfoNCE(1.0)(a, a, labels)

    first = -(math.log(math.e / (math.e + 2)) + math.log(1 / (math.e + 2))) / 2
    last = -math.log(math.e / (math.e + 2))
    assert loss.item() == pytest.approx((2 * first + last) / 3, rel=1e-5)


def test_the_sides_may_be_swapped():
    a, b = towers()

    assert torch.allclose(InfoNCE()(a, b), InfoNCE()(b, a))


def test_the_scale_is_learnt_and_never_above_100():
    loss_of = InfoNCE(temperature=1e-3)

    assert loss_of.scale.item() == 100
    assert [name for name, _ in loss_of.named_parameters()] == ["log_scale"]


def test_equal_and_zero_embeddings_leave_loss_and_gradient_finite():
    for given in (torch.ones(4, 3), torch.zeros(4, 3)):
        a = given.clone().requires_grad_()

        loss = InfoNCE()(a, given)
        loss.backward()

        assert torch.isfinite(loss)
        assert torch.isfinite(a.grad).all()
