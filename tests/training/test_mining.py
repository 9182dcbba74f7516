import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.batches import batch
from training.mining import (
    any_negative,
    balanced,
    candidates,
    every,
    hard_negatives,
    hardest,
    random_hard,
    semi_hard,
)

MARGIN = 0.4

batches = st.builds(
    batch, seed=st.integers(0, 999), labels=st.integers(1, 5), samples=st.integers(1, 4)
)


def distances(embeddings):
    return torch.cdist(embeddings, embeddings).detach()


def by_hand(embeddings, labels):
    """Return what every triplet costs, {(anchor, positive, negative): cost}, by loops."""
    far = distances(embeddings)
    rows = range(len(labels))
    return {
        (a, p, n): float(far[a, p] - far[a, n] + MARGIN)
        for a, p, n in itertools.product(rows, rows, rows)
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]
    }


def by_pair(costs):
    """Return {(anchor, positive): {negative: cost}}."""
    pairs = {}
    for (a, p, n), cost in costs.items():
        pairs.setdefault((a, p), {})[n] = cost
    return pairs


def selected(select, embeddings, labels):
    found = select(candidates(distances(embeddings), labels, MARGIN))
    return list(zip(*(part.tolist() for part in found), strict=True))


@given(batches)
@settings(deadline=None, max_examples=40)
def test_every_triplet_is_what_loops_find(case):
    assert sorted(selected(every, *case)) == sorted(by_hand(*case))


@given(batches)
@settings(deadline=None, max_examples=40)
def test_the_hardest_negative_is_what_loops_find(case):
    expected = {
        (*pair, max(negatives, key=negatives.get))
        for pair, negatives in by_pair(by_hand(*case)).items()
        if max(negatives.values()) > 0
    }

    assert set(selected(hardest, *case)) == expected


@pytest.mark.parametrize(
    ("select", "eligible"),
    [
        (any_negative, lambda cost: True),
        (random_hard, lambda cost: cost > 0),
        (semi_hard, lambda cost: 0 < cost < MARGIN),
    ],
)
@given(case=batches)
@settings(deadline=None, max_examples=40)
def test_one_eligible_negative_is_drawn_for_each_genuine_pair_that_has_one(select, eligible, case):
    choices = {
        pair: {negative for negative, cost in negatives.items() if eligible(cost)}
        for pair, negatives in by_pair(by_hand(*case)).items()
    }

    found = selected(select, *case)

    assert {(a, p) for a, p, _ in found} == {pair for pair, among in choices.items() if among}
    assert len(found) == len({(a, p) for a, p, _ in found})
    assert all(n in choices[a, p] for a, p, n in found)


def test_each_eligible_negative_is_drawn_sooner_or_later():
    case = batch(seed=3, labels=3, samples=2)
    possible = {triplet for triplet, cost in by_hand(*case).items() if cost > 0}

    drawn = {triplet for _ in range(200) for triplet in selected(random_hard, *case)}

    assert drawn == possible


@given(batches)
@settings(deadline=None, max_examples=40)
def test_the_active_share_counts_the_triplets_that_cost_something(case):
    costs = by_hand(*case)

    share = candidates(distances(case[0]), case[1], MARGIN).active.item()

    expected = sum(cost > 0 for cost in costs.values()) / max(1, len(costs))
    assert share == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("select", [balanced, hard_negatives])
@given(case=batches)
@settings(deadline=None, max_examples=40)
def test_pairs_are_all_the_genuine_and_as_many_impostors(select, case):
    embeddings, labels = case
    pairs = [(a, b) for a in range(len(labels)) for b in range(a) if a != b]
    genuine = {frozenset(pair) for pair in pairs if labels[pair[0]] == labels[pair[1]]}

    a, p, b, n = select(distances(embeddings), labels)

    assert {frozenset(pair) for pair in zip(a.tolist(), p.tolist(), strict=True)} == genuine
    assert len(a) == len(genuine)
    assert len(b) == min(len(genuine), len(pairs) - len(genuine))
    assert (labels[b] != labels[n]).all()
    assert len({frozenset(pair) for pair in zip(b.tolist(), n.tolist(), strict=True)}) == len(b)


def test_hard_negatives_are_the_nearest_impostors():
    embeddings, labels = batch(labels=4, samples=3)
    far = distances(embeddings)
    a, b = torch.triu_indices(12, 12, 1)
    impostors = sorted(far[a, b][labels[a] != labels[b]].tolist())

    *_, side, other = hard_negatives(far, labels)

    assert sorted(far[side, other].tolist()) == pytest.approx(impostors[: len(side)])
