import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from index.faiss_gallery import FaissGallery
from index.gallery import Reference
from tests.training.batches import batch
from training.heads import ElementwiseHead, Folded, SigmoidHead


def by_hand(logit, embeddings, labels):
    """Return the mean cross-entropy of genuine pairs and of impostor pairs, averaged, by loops."""
    losses = {True: [], False: []}
    for i in range(len(labels)):
        for j in range(i):
            same = bool(labels[i] == labels[j])
            score = torch.sigmoid(logit(embeddings[i], embeddings[j])).item()
            losses[same].append(-math.log(score if same else 1 - score))
    return (np.mean(losses[True]) + np.mean(losses[False])) / 2


def shuffled(head, seed=0):
    """Give the head weights and bias as a fit might leave them."""
    torch.manual_seed(seed)
    for parameter in head.parameters():
        parameter.data += torch.randn_like(parameter)
    return head.double()


@pytest.mark.parametrize(
    ("distance", "far"),
    [
        ("cosine", lambda x, y: 1 - functional.cosine_similarity(x, y, dim=0)),
        ("l2", lambda x, y: (x - y).norm()),
        ("l1", lambda x, y: (x - y).abs().sum()),
    ],
)
def test_the_head_is_cross_entropy_of_a_sigmoid_of_distance(distance, far):
    embeddings, labels = batch(unit=False)
    head = shuffled(SigmoidHead(4, distance))

    loss = head(embeddings, labels)

    expected = by_hand(lambda x, y: head.bias - head.weight() * far(x, y), embeddings, labels)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("distance", "apart"), [("l1", torch.Tensor.abs), ("l2", torch.Tensor.square)]
)
def test_the_elementwise_head_is_the_sum_that_its_name_says(distance, apart):
    embeddings, labels = batch(unit=False)
    head = shuffled(ElementwiseHead(4, distance))

    loss = head(embeddings, labels)

    def logit(x, y):
        return head.bias - (head.weights() * apart(x - y)).sum()

    assert loss.item() == pytest.approx(by_hand(logit, embeddings, labels), abs=1e-6)


@pytest.mark.parametrize(
    "head",
    [
        *(SigmoidHead(4, d) for d in ("cosine", "l2", "l1")),
        *(ElementwiseHead(4, d) for d in ("l1", "l2")),
    ],
)
def test_equal_embeddings_leave_loss_and_gradient_finite(head):
    embeddings = torch.ones(6, 4, requires_grad=True)

    loss = head(embeddings, torch.tensor([0, 0, 1, 1, 2, 2]))
    loss.backward()

    assert torch.isfinite(loss)
    assert torch.isfinite(embeddings.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in head.parameters())


@pytest.mark.parametrize("distance", ["cosine", "l2", "l1"])
def test_a_new_head_is_surest_of_equals_and_doubts_the_unrelated(distance):
    torch.manual_seed(0)
    a, b = functional.normalize(torch.randn(2, 500, 128), dim=2)

    head = SigmoidHead(128, distance)

    assert head.logits(a[:1], a[:1]).item() == pytest.approx(5, abs=1e-3)
    assert head.logits(a, b).max() < 0


@pytest.mark.parametrize(
    "head",
    [
        *(SigmoidHead(4, d) for d in ("cosine", "l2", "l1")),
        *(ElementwiseHead(4, d) for d in ("l1", "l2")),
    ],
)
def test_nothing_is_more_alike_to_an_embedding_than_itself_whatever_was_learnt(head):
    for seed in range(5):
        shuffled(head, seed)
        embeddings = batch(seed, labels=20, unit=False)[0]

        logits = head.logits(embeddings, embeddings)

        assert (logits.diagonal()[:, None] >= logits - 1e-9).all()


@pytest.mark.parametrize("distance", ["l1", "l2"])
@given(seed=st.integers(0, 2**31), spread=st.floats(0.1, 3))
@settings(max_examples=5, deadline=None)
def test_the_index_ranks_folded_vectors_as_the_head_scores_pairs(distance, seed, spread):
    random = np.random.default_rng(seed)
    stored = random.standard_normal((10_000, 16)).astype(np.float32)
    probe = random.standard_normal((1, 16)).astype(np.float32)
    head = ElementwiseHead(16, distance)
    head.weights.free.data += spread * torch.from_numpy(random.standard_normal(16)).float()
    gallery = FaissGallery(16, distance)
    with torch.no_grad():
        folded = head.fold(torch.from_numpy(stored)).numpy()
        gallery.add([Reference(key, "") for key in range(len(stored))], folded)
        found = gallery.search(head.fold(torch.from_numpy(probe)).numpy(), len(stored)).keys[0]
        weights = head.weights().double().numpy()

    apart = np.abs(probe.astype(np.float64) - stored)  # the head itself, without the fold
    scores = -(weights * (apart if distance == "l1" else apart**2)).sum(1)
    ranked = scores[found]
    assert sorted(found) == list(range(len(stored)))
    # Equal but for the rounding of float32, of which the index makes use and the head does not.
    assert (ranked[:-1] - ranked[1:]).min() >= -1e-5 * np.abs(ranked).max()


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_weights_stay_above_zero_however_they_are_pushed(distance):
    head = ElementwiseHead(4, distance)
    embeddings, labels = (each.detach() for each in batch(labels=3, samples=2))
    step = torch.optim.SGD(head.parameters(), lr=20)

    for _ in range(30):
        step.zero_grad()
        head(embeddings.float(), labels[torch.randperm(6)]).backward()
        step.step()

    assert (head.weights() > 0).all()


def test_a_folded_encoder_gives_what_is_stored():
    encoder = nn.Linear(3, 4)
    head = ElementwiseHead(4, "l2")
    shuffled(head).float()
    inputs = torch.randn(5, 3)

    folded = Folded(encoder, head)(inputs)

    assert torch.allclose(folded, head.fold(encoder(inputs)))
    assert not [name for name, _ in Folded(encoder, head).named_parameters() if "scale" in name]
