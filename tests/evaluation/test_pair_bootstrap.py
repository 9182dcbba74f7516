import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import pair_bootstrap
from evaluation.pair_bootstrap import grid_of
from evaluation.pair_counts import CELLS, PairScan
from evaluation.pair_figures import measure_pairs
from evaluation.pair_walk import walk, worst
from evaluation.pairs import all_pairs
from index.gallery import distances
from tests.evaluation.embedded import noise


def walked(embedded, threshold=0.9):
    scan = PairScan(embedded)
    pairs = scan.count()
    grid = grid_of(pairs)
    return pairs, grid, walk(embedded, scan, pairs, grid, threshold, 0)


def brute(embedded):
    """Every pair: rows, columns, score."""
    far = distances(embedded.embeddings, embedded.embeddings, embedded.metric)
    rows, columns = np.triu_indices(len(embedded.labels), 1)
    return rows, columns, embedded.score(far[rows, columns].astype(np.float64))


def test_bunches_add_up_to_all_pairs():
    pairs, grid, found = walked(noise(7, 4))

    genuine = found.by_bunch.genuine.sum(0)
    impostor = found.by_bunch.within.sum(0) + found.by_bunch.across.sum((0, 1))
    cells = grid.cell(pairs.scores)
    assert np.array_equal(genuine, np.bincount(cells, pairs.genuine, len(grid)))
    assert np.array_equal(impostor, np.bincount(cells, pairs.impostor, len(grid)))
    assert not found.by_bunch.within.any()  # each identity is a bunch of its own


def test_more_identities_than_bunches_are_drawn_together(monkeypatch):
    embedded = noise(30, 3)
    monkeypatch.setattr(pair_bootstrap, "BUNCHES", 8)

    pairs, _, found = walked(embedded)

    assert len(found.by_bunch.genuine) == 8
    assert found.by_bunch.within.any()
    together = found.by_bunch.within.sum() + found.by_bunch.across.sum()
    assert (found.by_bunch.genuine.sum(), together) == (pairs.genuine_pairs, pairs.impostor_pairs)


def test_a_replicate_weighs_a_pair_by_both_its_identities():
    embedded = noise(6, 3)
    _, grid, found = walked(embedded)
    rows, columns, _ = brute(embedded)
    far = distances(embedded.embeddings, embedded.embeddings, "cosine")[rows, columns]
    edges = (np.floor(far * np.float32(CELLS / 2)) + 1) / (CELLS / 2)
    drawn = np.random.default_rng(5).multinomial(6, np.full(6, 1 / 6), pair_bootstrap.REPLICATES)

    genuine, impostor = found.by_bunch.replicates(5)

    a, b = embedded.labels[rows], embedded.labels[columns]
    cell = grid.cell(embedded.score(edges.astype(np.float64)))
    for weights, of_genuine, of_impostor in zip(drawn[:20], genuine, impostor, strict=False):
        weight = np.where(a == b, weights[a], weights[a] * weights[b]).astype(float)
        for same, masses in ((a == b, of_genuine), (a != b, of_impostor)):
            expected = np.bincount(cell[same], weight[same], len(grid))
            assert masses == pytest.approx(expected / expected.sum(), abs=1e-9)


def test_intervals_hold_the_value_and_narrow_with_more_identities():
    few, many = (measure_pairs(noise(n, 5), 1).section for n in (15, 150))

    for name in ("eer", "auc", "ece", "cllr", "min_cllr"):
        spans = []
        for section in (few, many):
            figure = getattr(section, name)
            low, high = figure.interval
            assert low <= figure.value <= high, name
            spans.append(high - low)
        assert spans[1] < spans[0], name


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_the_worst_pairs_are_those_of_looking_at_all(seed):
    embedded = noise(8, 4, seed=seed)
    rows, columns, scores = brute(embedded)
    same = embedded.labels[rows] == embedded.labels[columns]

    _, _, found = walked(embedded)

    for kind, told, sign in ((~same, found.closest, -1), (same, found.furthest, 1)):
        expected = np.sort(sign * scores[kind])[: len(told)]
        by_pair = {(r, c): s for r, c, s in zip(rows, columns, scores, strict=True)}
        assert [sign * by_pair[tuple(pair)] for pair in told.tolist()] == pytest.approx(
            expected, abs=1e-5
        )


def test_of_two_identities_only_two_pairs_are_shown():
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    pairs = np.array([[0, 3], [1, 4], [2, 5], [0, 6]])

    assert worst(pairs, labels, 10) == [(0, 3), (1, 4), (0, 6)]


def test_groups_count_the_pairs_within_them_at_the_threshold():
    embedded = noise(6, 3)
    rows, columns, scores = brute(embedded)
    a, b = embedded.labels[rows], embedded.labels[columns]
    threshold = 0.8

    _, _, found = walked(embedded, threshold)

    for identity in range(6):
        mine = (a == identity) | (b == identity)
        akin = mine & (a != b) & (a % 2 == b % 2)
        assert found.by_group.impostors[identity] == akin.sum()
        assert found.by_group.accepted[identity] == (akin & (scores >= threshold)).sum()
        genuine = mine & (a == b)
        assert found.by_group.genuine[identity] == genuine.sum()
        assert found.by_group.refused[identity] == (genuine & (scores < threshold)).sum()


def test_figures_of_cells_are_those_of_the_pairs_themselves():
    embedded = noise(40, 6)
    exact = all_pairs(embedded)

    section = measure_pairs(embedded, 0).section

    for point in section.operating_points[:1]:
        fnmr = exact.fnmr(exact.threshold_at(point.fmr))
        assert point.fnmr.value == pytest.approx(fnmr, abs=2 / len(exact.genuine))
