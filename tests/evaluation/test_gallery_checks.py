"""Faults are planted as told, and found; purity is counted right and kept."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics.cluster import contingency_matrix

from evaluation.gallery_checks import (
    duplicates_found,
    halves,
    plant,
    purity_kept,
    wrong_names_found,
)
from evaluation.pairs import Embedded
from evaluation.purity import purity, purity_laws
from index.clustering import PurityLaw


def embedded(seed: int, identities: int = 60, samples: int = 10, spread: float = 0.1) -> Embedded:
    """Unit vectors around centres in 16 dimensions."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((identities, 1, 16))
    centres /= np.linalg.norm(centres, axis=-1, keepdims=True)
    rows = (centres + spread * rng.standard_normal((identities, samples, 16))).reshape(-1, 16)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    labels = np.repeat(np.arange(identities), samples)
    nobody = np.zeros(len(labels), np.int64)
    return Embedded(
        rows.astype(np.float32),
        labels,
        nobody,
        nobody.astype(str),
        "cosine",
        lambda distances: expit(10 * (0.3 - distances)),
    )


def test_what_is_planted_is_what_is_told():
    samples = embedded(0)

    planted = plant(samples, 40, seed=1, flips=0.05, splits=10)

    truth = samples.labels[planted.rows]
    name_of = {name: truth[(planted.names == name) & ~planted.flipped][0] for name in range(50)}
    assert planted.flipped.sum() == 20
    for name, i, flipped in zip(planted.names, truth, planted.flipped, strict=True):
        if not flipped:
            assert name_of[name] == i
    assert len(planted.split) == 10
    for a, b in planted.split:
        assert name_of[a] == name_of[b]


def test_purity_is_the_share_of_each_clusters_majority():
    labels, clusters = np.array([0, 0, 1, 1, 1, 2]), np.array([0, 0, 0, 1, 1, 2])

    assert purity(labels, clusters) == pytest.approx(5 / 6, abs=1e-12)


def test_purity_is_that_of_scikit_learns_contingency_matrix():
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(0, 9, 500), rng.integers(0, 14, 500)

    counted = contingency_matrix(labels, clusters).max(axis=0).sum() / 500

    assert purity(labels, clusters) == pytest.approx(counted, abs=1e-12)


def test_planted_faults_are_found_among_identities_well_apart():
    samples = embedded(1)

    auc, precision, recall = wrong_names_found(samples, 60, seed=0)
    duplicate_precision, duplicate_recall = duplicates_found(samples, 60, seed=0)

    assert auc >= 0.95
    assert min(precision, recall) >= 0.9
    assert min(duplicate_precision, duplicate_recall) >= 0.8


def test_a_purity_measured_on_some_identities_is_kept_on_others():
    # Twice as wide as above: at a lax cut many identities run together.
    one, other = halves(embedded(2, identities=160, spread=0.17), seed=0)

    laws = {law.purity: PurityLaw(**law.model_dump()) for law in purity_laws(one, seed=0)}

    kept = [purity_kept(other, laws[0.95], 60, 5, seed)[0] for seed in range(6)]
    assert abs(np.mean(kept) - 0.95) <= 0.03


def test_a_higher_purity_is_cut_higher():
    laws = purity_laws(embedded(3, identities=80, spread=0.17), seed=0)

    cuts = [law.log_odds + law.by_clusters * np.log(60) for law in laws]

    assert len(laws) >= 2
    assert cuts == sorted(cuts)
    assert all(law.clusters[0] < law.clusters[1] for law in laws)


def test_too_few_identities_give_no_law():
    assert purity_laws(embedded(4, identities=19), seed=0) == ()
    assert purity_laws(embedded(4, samples=1), seed=0) == ()
