"""Embeddings that tests can reason about: on a circle, without error, around random centres."""

from dataclasses import replace

import numpy as np
from scipy.special import expit

from evaluation.pairs import Embedded
from evaluation.samples import Served, labelled


def circle(degrees, labels):
    """Points on a circle; scores are negated distances."""
    angles = np.radians(degrees)
    points = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    labels = np.asarray(labels)
    return Embedded(points, labels, labels * 0, labels.astype(str), "cosine", np.negative)


def perfect(identities=24, samples=4):
    """Every identity on an axis of its own; odd and even ones are two groups."""
    labels = np.repeat(np.arange(identities), samples)
    points = np.eye(identities, dtype=np.float32)[labels]
    drawers = np.tile(np.arange(samples), identities).astype(str)
    return Embedded(points, labels, labels % 2, drawers, "cosine", lambda d: 1 - d)


def noise(identities, samples, spread=0.5, seed=0):
    """Random centres and samples around them; a spread of a million leaves no centre."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(identities), samples)
    points = random.normal(size=(identities, 8))[labels]
    points = points + spread * random.normal(size=points.shape)
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    drawers = np.tile(np.arange(samples), identities).astype(str)
    return Embedded(points, labels, labels % 2, drawers, "cosine", lambda d: 1 - d / 2)


def two_sides(identities, of_a=2, of_b=3, spread=0.5, seed=0):
    """Samples of two encoders around random centres: `of_a` and `of_b` of each, all of a first."""
    both = noise(identities, of_a + of_b, spread, seed)
    of_b = np.arange(len(both.labels)) % (of_a + of_b) >= of_a
    order = np.argsort(of_b, kind="stable")
    return replace(both.only(order), of_b=of_b[order])


def named(embedded, *, grouped=True, cohort=None, score=lambda d: expit(4 - 12 * d), **kwargs):
    """The same as samples with names: identity i is `p<i>`."""
    outside = np.empty((0, embedded.embeddings.shape[1]), np.float32) if cohort is None else cohort
    served = Served("test@1", embedded.metric, score, outside, digest="0" * 64)
    sides = None if embedded.of_b is None else np.where(embedded.of_b, "b", "a")
    if sides is not None:
        served = replace(served, of_b=served)
    return labelled(
        embedded.embeddings,
        [f"p{label:03}" for label in embedded.labels],
        served,
        groups=[f"g{group}" for group in embedded.groups] if grouped else None,
        drawers=embedded.drawers,
        sides=sides,
        **kwargs,
    )
