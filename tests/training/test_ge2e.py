import pytest
import torch
from torch.nn import functional

from tests.training.batches import batch
from training.ge2e import GE2E


def by_hand(kind, embeddings, labels, w=10.0, b=-5.0):
    """Wan et al., equations 5 to 9, one sample at a time; the mean over the samples."""
    total = 0.0
    for i, (embedding, own) in enumerate(zip(embeddings, labels, strict=True)):
        similar = {}
        for label in labels.unique().tolist():
            members = [j for j in range(len(labels)) if labels[j] == label and j != i]
            centroid = embeddings[members].mean(0)
            similar[label] = w * functional.cosine_similarity(embedding, centroid, dim=0) + b
        others = [value for label, value in similar.items() if label != own]
        mine = similar[int(own)]
        if kind == "softmax":
            total += -mine + torch.logsumexp(torch.stack([mine, *others]), 0)
        else:
            total += 1 - mine.sigmoid() + max(value.sigmoid() for value in others)
    return total.item() / len(labels)


@pytest.mark.parametrize("kind", ["softmax", "contrast"])
@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_the_papers(kind, seed):
    embeddings, labels = batch(seed, labels=4, samples=3, unit=False)

    loss = GE2E(kind)(embeddings, labels)

    assert loss.item() == pytest.approx(by_hand(kind, embeddings, labels), abs=1e-6)


@pytest.mark.parametrize("kind", ["softmax", "contrast"])
def test_the_gradient_is_that_of_the_loss(kind):
    embeddings, labels = batch(labels=3, samples=3)
    loss_of = GE2E(kind).double()

    assert torch.autograd.gradcheck(lambda given: loss_of(given, labels), embeddings)
    free = [parameter for parameter in loss_of.parameters() if parameter.requires_grad]
    assert torch.autograd.gradcheck(
        lambda w, b: torch.func.functional_call(
            loss_of, {"weight.free": w, "bias": b}, (embeddings, labels)
        ),
        tuple(free),
    )


def test_it_begins_at_the_papers_weight_and_bias():
    loss_of = GE2E("softmax")

    assert loss_of.weight().item() == pytest.approx(10, abs=1e-4)
    assert loss_of.bias.item() == -5


def test_the_weight_stays_above_zero_however_it_is_pushed():
    loss_of = GE2E("softmax")
    embeddings, labels = batch(labels=3, samples=2)
    labels = labels[torch.randperm(6)]  # nothing to learn: the best weight is none
    step = torch.optim.SGD(loss_of.parameters(), lr=50)

    for _ in range(30):
        step.zero_grad()
        loss_of(embeddings.detach(), labels).backward()
        step.step()

    assert 0 < loss_of.weight().item() < 10


@pytest.mark.parametrize("kind", ["softmax", "contrast"])
def test_equal_and_zero_embeddings_leave_loss_and_gradient_finite(kind):
    for embeddings in (torch.ones(6, 4), torch.zeros(6, 4)):
        given = embeddings.requires_grad_()

        loss = GE2E(kind)(given, torch.tensor([0, 0, 1, 1, 2, 2]))
        loss.backward()

        assert torch.isfinite(loss)
        assert torch.isfinite(given.grad).all()


@pytest.mark.parametrize("kind", ["softmax", "contrast"])
def test_a_lone_sample_is_a_centroid_to_the_others_and_loses_nothing_itself(kind):
    embeddings = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    labels = torch.tensor([4, 4, 9])

    loss = GE2E(kind)(embeddings, labels)

    own, other = torch.tensor(5.0), torch.tensor(-5.0)  # 10 · 1 - 5 and 10 · 0 - 5
    expected = {
        "softmax": functional.softplus(other - own),
        "contrast": 1 - own.sigmoid() + other.sigmoid(),
    }
    assert loss.item() == pytest.approx(expected[kind].item(), abs=1e-5)
