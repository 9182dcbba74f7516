"""The manifest and what it is read into stay one shape."""

from dataclasses import fields

import index
from models_store import manifest


def test_the_manifests_posterior_is_that_of_the_index():
    ours = {field.name for field in fields(index.PosteriorModel)}

    assert set(manifest.PosteriorModel.model_fields) == ours


def test_the_manifests_genuine_scores_are_those_of_the_index():
    ours = {field.name for field in fields(index.GenuineScores)}

    assert set(manifest.GenuineScores.model_fields) == ours


def test_the_manifests_cluster_purity_is_the_law_of_the_index():
    ours = {field.name for field in fields(index.PurityLaw)} - {"strangers"}  # of the pairs

    assert set(manifest.ClusterPurity.model_fields) == ours
