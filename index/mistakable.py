"""Which enrolled samples would be taken for somebody else's."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings, Metric, distances
from index.ranking import rank
from index.roster import Roster, Rule, Score, Scores

LeftOut = Literal["own", "another", "unknown", "alone"]
"""What a sample would be named as if it were a probe and not enrolled: its own identity, another,
or nobody; `alone` if nobody, and its identity has no other sample to be known by."""

Link = tuple[int, int, float]
"""The places of two samples, and the score of the pair."""

_BLOCK = 256


def left_out(roster: Roster, keys: Sequence[int], rule: Rule, threshold: float) -> list[LeftOut]:
    """Return what each of these samples would be named as at a threshold, were it left out.

    By `max`, `mean` or `centroid`. Its own identity scores by its other samples, others by all
    of theirs, of whom the best counts.
    """
    found: list[LeftOut] = []
    rankings = rank(roster, roster.embeddings(keys), rule, 2)
    for key, ranking in zip(keys, rankings, strict=True):
        identity = roster.owner[key]
        own = roster.own_score(identity, rule, key)
        other = max((each.score for each in ranking if each.identity != identity), default=None)
        found.append(named_left_out(own, other, threshold))
    return found


def named_left_out(own: float | None, other: float | None, threshold: float) -> LeftOut:
    """Return what a sample is named as whose own identity scores so, and the best other."""
    if own is not None and own >= threshold and (other is None or own >= other):
        return "own"
    if other is not None and other >= threshold:
        return "another"
    return "alone" if own is None else "unknown"


def links(
    embeddings: Embeddings,
    identities: npt.NDArray[np.int64],
    score: Score,
    threshold: float,
    metric: Metric,
    most: int,
) -> tuple[int, list[Link]]:
    """Return how many pairs of different identities score at least this, and the best of them.

    Of embeddings (n, d) whose `identities` are numbers (n,); `most` pairs, best first, equal ones
    by their places.
    """
    count, kept = 0, _none()
    for start in range(0, len(embeddings), _BLOCK):
        rows = embeddings[start : start + _BLOCK]
        scores = score(distances(rows, embeddings[start:], metric).astype(np.float64))
        other = identities[start : start + len(rows), None] != identities[None, start:]
        i, j = np.nonzero((scores >= threshold) & other & _above(scores))
        count += len(i)
        kept = _best(kept, (i + start, j + start, scores[i, j]), most)
    return count, list(zip(*(column.tolist() for column in kept), strict=True))


Columns = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Scores]


def _none() -> Columns:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)


def _above(scores: Scores) -> npt.NDArray[np.bool_]:
    """Whether each pair is not told already, the other way round, nor is a sample with itself."""
    return np.arange(scores.shape[1])[None] > np.arange(scores.shape[0])[:, None]


def _best(kept: Columns, more: Columns, most: int) -> Columns:
    i, j, scores = (np.concatenate(both) for both in zip(kept, more, strict=True))
    order = np.lexsort((j, i, -scores))[:most]
    return i[order], j[order], scores[order]
