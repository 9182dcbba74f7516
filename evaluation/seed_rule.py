"""The seeds' rule for naming a probe, written once: the baseline to beat."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings
from index.ranking import STANDS
from index.roster import Score, Scores

Owners = npt.NDArray[np.int64]
Weigh = Callable[[Scores, Scores], Scores]

VOTERS = 5
UNKNOWN = -1
_NEAREST = 1e-12  # a distance of zero would weigh infinitely much


def seed_rule(far: Embeddings, score: Score, owners: Owners) -> Owners:
    """Return whom each probe (n,) is named as, or -1 for unknown.

    `far` (n, m) are distances to references, `owners` (m,) whose these are. An identity is kept
    if the mean score of its samples is at least .5; nobody kept is unknown; among the samples of
    those kept the five nearest vote, each weighing one over its distance, ties to the nearest.
    """
    return _elected(far, score, owners, lambda distances, _: 1 / np.maximum(distances, _NEAREST))


def labelled_knn(far: Embeddings, score: Score, owners: Owners) -> Owners:
    """Return whom the index's rule `knn` names, or -1: the seeds' rule, votes weighing scores."""
    return _elected(far, score, owners, lambda _, scores: scores)


def tied_vote(far: Embeddings, owners: Owners) -> Owners:
    """Return whom most of the five nearest references are of, or -1 where the vote is tied.

    The seeds' older rule, without weights: five identities with one sample each always tie.
    """
    nearest = np.argsort(far, axis=1, kind="stable")[:, :VOTERS]
    votes = _votes(owners[nearest], np.ones(nearest.shape))
    most = votes.max(axis=1, keepdims=True)
    tied = (votes == most) & (owners[nearest] != _first(owners[nearest], votes, most)[:, None])
    named: Owners = np.where(tied.any(axis=1), UNKNOWN, _first(owners[nearest], votes, most))
    return named


def _elected(far: Embeddings, score: Score, owners: Owners, weigh: Weigh) -> Owners:
    identities, own = np.unique(owners, return_inverse=True)
    scores = score(far.astype(np.float64))
    means = scores @ np.eye(len(identities))[own] / np.bincount(own)  # (n, identities)
    kept = (means >= STANDS)[:, own]
    behind = np.where(kept, far, np.inf)
    nearest = np.argsort(behind, axis=1, kind="stable")[:, :VOTERS]
    near = np.take_along_axis(behind, nearest, axis=1).astype(np.float64)
    standing = np.isfinite(near)
    weights = np.where(standing, weigh(near, np.take_along_axis(scores, nearest, axis=1)), 0.0)
    votes = _votes(owners[nearest], weights)
    named = _first(owners[nearest], votes, votes.max(axis=1, keepdims=True))
    return np.where(standing[:, 0], named, UNKNOWN)


def _votes(owners: Owners, weights: Scores) -> Scores:
    """Return for each voter (n, k) what all voters of its identity weigh together."""
    same = owners[:, :, None] == owners[:, None, :]
    votes: Scores = (same * weights[:, None, :]).sum(axis=2)
    return votes


def _first(owners: Owners, votes: Scores, most: Scores) -> Owners:
    """Return the owner (n,) of the nearest voter on the winning side."""
    place = (votes >= most).argmax(axis=1)
    first: Owners = owners[np.arange(len(owners)), place]
    return first
