"""Samples laid out so that neighbours stay neighbours."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

from evaluation.layout import clusters, lay_out, neighbours
from index import linkage, principal_plane
from tests.services import ROOT

HEAD = (8.0, 3.0)


def score(far):
    return 1 / (1 + np.exp(HEAD[0] * far - HEAD[1]))


def crowd(count, dimension=16, each=8, seed=0):
    """Samples around a centre for each identity, and whose each is."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(rng.normal(size=(-(-count // each), dimension)), each, axis=0)[:count]
    rows = rows + 0.4 * rng.normal(size=rows.shape)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), np.arange(count) // each


def agreement(plane, owners):
    near = cKDTree(plane).query(plane, 6)[1][:, 1:]
    return (owners[near] == owners[:, None]).mean()


@pytest.mark.parametrize(("metric", "theirs"), [("l2", "euclidean"), ("l1", "cityblock")])
def test_neighbours_are_those_of_scikit_learn(metric, theirs):
    rows, _ = crowd(600)

    near, far = neighbours(rows, metric, 7)

    exact = NearestNeighbors(n_neighbors=8, metric=theirs, algorithm="brute").fit(rows)
    distances, places = exact.kneighbors(rows)
    assert (near == places[:, 1:]).mean() > 0.999  # but for ties
    np.testing.assert_allclose(far, distances[:, 1:], atol=1e-5)


def test_by_cosine_neighbours_are_as_far_as_the_chord_between_them():
    rows, _ = crowd(100)

    by_cosine, chords = neighbours(rows, "cosine", 5)
    by_l2, far = neighbours(rows, "l2", 5)

    assert (by_cosine == by_l2).mean() > 0.99
    np.testing.assert_allclose(chords, far, atol=1e-3)


def test_identities_lie_together_more_than_on_the_principal_plane():
    rows, owners = crowd(400)
    start = principal_plane(rows)

    plane = lay_out(rows, start, "cosine")

    assert plane.shape == (400, 2)
    assert np.abs(plane).max() == 1
    assert agreement(plane, owners) > 0.9 > agreement(start, owners)


@pytest.mark.parametrize("count", [12, 30])
@pytest.mark.parametrize("alike", [False, True])
def test_few_samples_and_equal_ones_have_a_layout(count, alike):
    rows = np.ones((count, 4), np.float32) if alike else crowd(count)[0]

    plane = lay_out(rows, principal_plane(rows), "l2")

    assert np.isfinite(plane).all()


def test_how_far_it_is_rises_to_all_of_it():
    rows, _ = crowd(40)
    shares = []

    lay_out(rows, principal_plane(rows), "cosine", shares.append)

    assert shares == sorted(shares)
    assert len(shares) > 10
    assert shares[-1] == 1


def test_clusters_are_those_of_linkage():
    rows, _ = crowd(120)

    assert clusters(rows, "cosine", HEAD, 0.4) == list(linkage(rows, score, 0.4).labels)


def test_the_process_answers_alike_to_the_last_byte_and_leaves_no_file(tmp_path):
    rows, _ = crowd(60)
    asked = io.BytesIO()
    start = principal_plane(rows)
    np.savez(
        asked, embeddings=rows, start=start, metric="cosine", head=HEAD, cluster_threshold=0.4
    )

    outs = [
        subprocess.run(
            [sys.executable, "-m", "evaluation.layout"],
            input=asked.getvalue(),
            capture_output=True,
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
            check=True,
        ).stdout
        for _ in range(2)
    ]

    *shares, last = map(json.loads, outs[0].splitlines())
    assert outs[0] == outs[1]
    assert all(0 < line["share"] <= 1 for line in shares)
    assert {name: len(column) for name, column in last.items()} == dict.fromkeys(
        ("x", "y", "clusters"), 60
    )
    assert list(tmp_path.iterdir()) == []
