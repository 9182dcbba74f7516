"""Partitions: order-free by linkage, order-bound by leader."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.clustering import Clustering, PurityLaw, Resemblance, join, leader, linkage
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
    metric=st.sampled_from(("cosine", "l2", "l1")),
)
def test_linkage_gives_the_same_partition_in_any_order(seed, count, threshold, metric):
    # Whole degrees on a small arc: duplicates and tied distances abound.
    rng = np.random.default_rng(seed)
    rows = on_circle(*rng.integers(0, 60, count))
    order = rng.permutation(count)

    def cluster(rows: np.ndarray) -> Clustering:
        return linkage(rows, by_degrees, threshold, metric=metric)

    straight, shuffled = cluster(rows), cluster(rows[order])

    back = {frozenset(order[list(members)].tolist()) for members in partition(shuffled)}
    assert partition(straight) == back
    medoids = {tuple(rows[cluster.medoid]) for cluster in straight.clusters}
    assert medoids == {tuple(rows[order][cluster.medoid]) for cluster in shuffled.clusters}
    assert list(dict.fromkeys(straight.labels)) == list(range(len(straight.clusters)))


def test_larger_clusters_are_judged_as_single_samples_would_be():
    # Two of two, each 2° wide, their middles 30° apart: cos² 1° of a squared chord of 30°, by 2
    # for their sizes and by √2 for two of four items in a cluster by then.
    middles = np.cos(np.radians(1)) ** 2 * (1 - np.cos(np.radians(30)))
    expected = by_degrees(np.sqrt(2) * middles)

    tree = join(on_circle(0, 2, 30, 32), by_degrees)

    assert tree.scores == pytest.approx([0.98, 0.98, expected], abs=1e-4)
    assert len(set(tree.cut(expected - 1e-3))) == 1
    assert len(set(tree.cut(expected + 1e-3))) == 2


@pytest.mark.parametrize(("metric", "middles"), [("l2", np.sqrt(8)), ("l1", 4)])
def test_unnormalised_embeddings_are_judged_by_their_own_distance(metric, middles):
    # One joins two: sizes of 1 and 2 grow a squared distance by 4/3, of 3/2 items a cluster.
    rows = np.array([[0, 0], [0, 0.2], [2, 2.1]], np.float32)
    grown = np.sqrt(4 / 3 / np.sqrt(3 / 2))

    tree = join(rows, np.negative, metric=metric)

    assert tree.scores == pytest.approx([-0.2, -grown * middles], abs=1e-6)


def test_a_cluster_never_scores_more_than_its_parts():
    rng = np.random.default_rng(0)
    tree = join(on_circle(*rng.uniform(0, 300, 200)), by_degrees)

    for i, (a, b) in enumerate(tree.merges.tolist()):
        within = [j for j in range(i) if {a, b} & set(tree.merges[j].tolist())]
        assert all(tree.scores[j] >= tree.scores[i] for j in within)


def test_a_sample_sent_again_changes_no_cluster():
    rng = np.random.default_rng(0)
    rows = on_circle(*rng.uniform(0, 300, 40))

    once, again = (linkage(r, by_degrees, 0.8) for r in (rows, np.concatenate([rows, rows[:7]])))

    assert again.labels == once.labels + once.labels[:7]


def test_leader_depends_on_the_order_that_items_come_in():
    # 0° and 20° take in 40° (mean .7) but not 60° (.6); from the other end 0° is left out.
    assert leader(on_circle(0, 20, 40, 60), by_degrees, 0.65).labels == (0, 0, 0, 1)
    assert leader(on_circle(60, 40, 20, 0), by_degrees, 0.65).labels == (0, 0, 0, 1)


def test_leader_joins_whom_the_nearest_items_vote_for():
    found = leader(on_circle(0, 5, 70, 30), by_degrees, 0.55)

    assert found.labels == (0, 0, 1, 0)


def test_an_item_that_stands_nowhere_founds_its_own_cluster():
    assert leader(on_circle(0, 60, 120), by_degrees, 0.5).labels == (0, 1, 2)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_items_that_are_all_equal_are_one_cluster(threshold):
    rows = on_circle(*[30] * 50)

    found = linkage(rows, by_degrees, threshold)

    assert found.labels == (0,) * 50


def test_a_threshold_of_nought_joins_all_and_of_one_only_equals():
    rows = on_circle(0, 10, 10, 55, 120)

    everything = linkage(rows, by_degrees, 0.0)
    equals = linkage(rows, by_degrees, 1.0)

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
@given(seed=st.integers(0, 999))
def test_a_tree_cut_anywhere_is_the_clustering_at_that_threshold(seed):
    rng = np.random.default_rng(seed)
    rows = on_circle(*rng.integers(0, 90, 30))
    tree = join(rows, by_degrees)

    for threshold in rng.uniform(0, 1, 5).tolist():
        found = linkage(rows, by_degrees, threshold)

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


def test_a_law_of_purity_is_refused_far_beyond_what_it_was_measured_on():
    law = PurityLaw(0.95, log_odds=4.0, by_clusters=1.0, clusters=(1, 1))

    assert len(linkage(on_circle(0, 55, 110, 165), by_degrees, law).clusters) == 4
    with pytest.raises(TargetUnresolvable, match="1 clusters, here are 5"):
        linkage(on_circle(0, 55, 110, 165, 220), by_degrees, law)


def test_fewer_clusters_than_a_law_was_measured_on_are_cut_as_its_fewest_or_refused():
    law = PurityLaw(0.95, log_odds=-1.0, by_clusters=1.0, clusters=(6, 100))

    found = linkage(on_circle(0, 55), by_degrees, law)

    assert found.threshold == pytest.approx(6 / (6 + np.e))
    with pytest.raises(TargetUnresolvable, match="on 6 to 100 clusters, here are 1;"):
        linkage(on_circle(0, 20), by_degrees, law)


def test_a_law_of_purity_is_refused_where_others_look_alike_twice_as_often_as_its_strangers():
    law = PurityLaw(0.95, log_odds=-1.0, by_clusters=1.0, clusters=(1, 100))
    # All but 0° and 10° are told apart at .5: of nine pairs four, at 45° or 55°, score .4 or more.
    rows = on_circle(0, 10, 55, 110, 165)

    as_often = replace(law, strangers=Resemblance(score=0.4, share=4 / 9 / 2))
    assert linkage(rows, by_degrees, as_often) == linkage(rows, by_degrees, law)
    rarer = replace(law, strangers=Resemblance(score=0.4, share=0.22))
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        with pytest.raises(TargetUnresolvable, match=r"22% of pairs .* here 44% do"):
            linkage(rows[order], by_degrees, rarer)


def test_pairs_told_apart_are_looked_at_among_many_items_too():
    rng = np.random.default_rng(0)
    rows = on_circle(*(np.repeat([0, 90, 180, 270], 600) + rng.uniform(0, 5, 2400)))
    law = PurityLaw(0.95, log_odds=-1.0, by_clusters=1.0, clusters=(1, 100))

    # At 90° a pair scores .1, give or take .05: two in three of those told apart.
    for share, refused in ((0.3, True), (0.35, False)):
        asked = replace(law, strangers=Resemblance(score=0.02, share=share))
        with pytest.raises(TargetUnresolvable) if refused else nullcontext():
            linkage(rows, by_degrees, asked)
