"""Partitions: order-free by linkage, order-bound by leader."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.spatial.distance import pdist

from index.clustering import Clustering, PurityLaw, join, leader, linkage
from index.cohort import TargetUnresolvable
from index.gallery import NotFinite
from tests.index.circle import by_degrees, on_circle


def partition(clustering: Clustering) -> set[frozenset[int]]:
    return {frozenset(cluster.members) for cluster in clustering.clusters}


@pytest.mark.parametrize("method", [linkage, leader])
def test_a_hand_worked_example(method):
    found = method(on_circle(80, 0, 10, 170, 85, 4), by_degrees, 0.8)

    assert found.labels == (0, 1, 1, 2, 0, 1)
    assert [cluster.members for cluster in found.clusters] == [(0, 4), (1, 2, 5), (3,)]
    assert [cluster.size for cluster in found.clusters] == [2, 3, 1]
    assert found.clusters[1].medoid == 5  # at 4° between 0° and 10°
    assert found.clusters[1].mean_score == pytest.approx((0.9 + 0.96 + 0.94) / 3, abs=1e-4)
    assert (found.clusters[2].medoid, found.clusters[2].mean_score) == (3, None)


@pytest.mark.parametrize("method", [linkage, leader])
def test_nothing_makes_no_clusters_and_one_makes_a_single(method):
    assert method(np.empty((0, 2), np.float32), by_degrees, 0.5) == Clustering((), (), 0.5)
    assert method(on_circle(5), by_degrees, 0.5).labels == (0,)


def test_pairs_at_the_threshold_belong_together():
    pair = on_circle(0, 30)
    exactly = by_degrees(1 - (pair[:1] @ pair[1:].T).astype(np.float64)).item()

    assert len(linkage(pair, by_degrees, exactly).clusters) == 1
    assert len(linkage(pair, by_degrees, np.nextafter(exactly, 1)).clusters) == 2


def test_equal_embeddings_are_one_item_however_strict_the_threshold():
    assert linkage(on_circle(7, 50, 7), by_degrees, 1.1).labels == (0, 1, 0)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    count=st.integers(1, 40),
    threshold=st.sampled_from([0.3, 0.5, 0.7, 0.9]),
    exact_up_to=st.sampled_from([0, 1000]),
    metric=st.sampled_from(("cosine", "l2", "l1")),
)
def test_linkage_gives_the_same_partition_in_any_order(
    seed, count, threshold, exact_up_to, metric
):
    # Whole degrees on a small arc: duplicates and tied distances abound.
    rng = np.random.default_rng(seed)
    rows = on_circle(*rng.integers(0, 60, count))
    order = rng.permutation(count)

    def cluster(rows: np.ndarray) -> Clustering:
        return linkage(rows, by_degrees, threshold, metric=metric, exact_up_to=exact_up_to)

    straight, shuffled = cluster(rows), cluster(rows[order])

    back = {frozenset(order[list(members)].tolist()) for members in partition(shuffled)}
    assert partition(straight) == back
    medoids = {tuple(rows[cluster.medoid]) for cluster in straight.clusters}
    assert medoids == {tuple(rows[order][cluster.medoid]) for cluster in shuffled.clusters}
    assert list(dict.fromkeys(straight.labels)) == list(range(len(straight.clusters)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), threshold=st.sampled_from([0.2, 0.5, 0.8]))
def test_linkage_is_that_of_scipy_whichever_way_it_is_worked_out(seed, threshold):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((60, 3)).astype(np.float32)

    def head(distances: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(4 * (distances - 1)))

    labels = fcluster(
        scipy_linkage(1 - head(pdist(rows.astype(np.float64))), "average"),
        1 - threshold,
        "distance",
    )
    expected = {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels)}

    # 60 items are fewer than the neighbours looked at, so the sparse graph has every pair.
    assert partition(linkage(rows, head, threshold, metric="l2")) == expected
    assert partition(linkage(rows, head, threshold, metric="l2", exact_up_to=0)) == expected


def test_leader_depends_on_the_order_that_items_come_in():
    # 0° and 20° take in 40° (mean .7) but not 60° (.6); from the other end 0° is left out.
    assert leader(on_circle(0, 20, 40, 60), by_degrees, 0.65).labels == (0, 0, 0, 1)
    assert leader(on_circle(60, 40, 20, 0), by_degrees, 0.65).labels == (0, 0, 0, 1)


def test_leader_joins_whom_the_nearest_items_vote_for():
    found = leader(on_circle(0, 5, 70, 30), by_degrees, 0.55)

    assert found.labels == (0, 0, 1, 0)


def test_an_item_that_stands_nowhere_founds_its_own_cluster():
    assert leader(on_circle(0, 60, 120), by_degrees, 0.5).labels == (0, 1, 2)


@pytest.mark.parametrize("exact_up_to", [0, 1000])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_items_that_are_all_equal_are_one_cluster(threshold, exact_up_to):
    rows = on_circle(*[30] * 50)

    found = linkage(rows, by_degrees, threshold, exact_up_to=exact_up_to)

    assert found.labels == (0,) * 50


@pytest.mark.parametrize("exact_up_to", [0, 1000])
def test_a_threshold_of_nought_joins_all_and_of_one_only_equals(exact_up_to):
    rows = on_circle(0, 10, 10, 55, 120)

    everything = linkage(rows, by_degrees, 0.0, exact_up_to=exact_up_to)
    equals = linkage(rows, by_degrees, 1.0, exact_up_to=exact_up_to)

    assert everything.labels == (0, 0, 0, 0, 0)
    assert equals.labels == (0, 1, 1, 2, 3)


@pytest.mark.parametrize("method", [linkage, leader])
def test_embeddings_that_are_not_finite_are_refused(method):
    rows = on_circle(0, 10, 20)
    rows[1, 0] = np.nan

    with pytest.raises(NotFinite):
        method(rows, by_degrees, 0.5)


def test_one_more_item_leaves_the_clusters_far_from_it_alone():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, 8)).astype(np.float32)
    more = np.concatenate([rows, rng.standard_normal((1, 8)).astype(np.float32)])

    def head(distances: np.ndarray) -> np.ndarray:
        return np.exp(-distances)

    before = linkage(rows, head, 0.1, metric="l2").labels
    after = linkage(more, head, 0.1, metric="l2").labels[:-1]

    assert np.mean(np.array(before) == np.array(after)) >= 0.9


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), exact_up_to=st.sampled_from([0, 1000]))
def test_a_tree_cut_anywhere_is_the_clustering_at_that_threshold(seed, exact_up_to):
    rng = np.random.default_rng(seed)
    rows = on_circle(*rng.integers(0, 90, 30))
    tree = join(rows, by_degrees, 0.1, exact_up_to=exact_up_to)

    for threshold in rng.uniform(0.1, 1, 5).tolist():
        found = linkage(rows, by_degrees, threshold, exact_up_to=exact_up_to)

        cut = tree.cut(threshold)
        same = cut[:, None] == cut[None]
        assert (same == np.equal.outer(found.labels, found.labels)).all()


def test_a_law_of_purity_cuts_higher_among_more_clusters():
    law = PurityLaw(0.95, log_odds=-1.0, by_clusters=1.0, clusters=(1, 100))
    few, many = on_circle(0, 55), on_circle(0, 20, 75, 130, 185, 240, 295)

    # At 55° a pair scores .45, odds of .82, and at 20° .8, odds of 4. Among two clusters or one
    # it takes odds of 2/e = .74, among six of 6/e = 2.2.
    together, apart = linkage(few, by_degrees, law), linkage(many, by_degrees, law)

    assert together.labels == (0, 0)
    assert together.threshold == pytest.approx(2 / (2 + np.e))
    assert apart.labels == (0, 0, 1, 2, 3, 4, 5)
    assert apart.threshold == pytest.approx(6 / (6 + np.e))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), by_clusters=st.sampled_from([0.0, 0.5, 1.5]))
def test_a_law_of_purity_is_kept_where_it_cuts(seed, by_clusters):
    rng = np.random.default_rng(seed)
    rows = on_circle(*rng.uniform(0, 170, 30))
    law = PurityLaw(0.9, log_odds=-1.0, by_clusters=by_clusters, clusters=(1, 30))

    found = linkage(rows, by_degrees, law)

    odds = found.threshold / (1 - found.threshold)
    clusters = max(len(found.clusters), 2)
    assert np.log(odds) >= law.log_odds + law.by_clusters * np.log(clusters) - 1e-9
    assert found.labels == linkage(rows, by_degrees, found.threshold).labels


def test_a_law_of_purity_is_refused_far_beyond_what_it_was_measured_on():
    law = PurityLaw(0.95, log_odds=4.0, by_clusters=1.0, clusters=(2, 5))

    assert len(linkage(on_circle(*range(0, 100, 5)), by_degrees, law).clusters) == 20
    with pytest.raises(TargetUnresolvable, match="5 clusters, here are 21"):
        linkage(on_circle(*range(0, 105, 5)), by_degrees, law)
