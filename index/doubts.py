"""What is odd about samples that are about to be enrolled: whose they seem to be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings
from index.roster import Scores

Doubt = Literal["another", "unlike"]
"""`another`: the sample would be named as another identity. `unlike`: too many strangers come as
near to what else is known of its identity."""

PairScore = Callable[[Embeddings, Embeddings], Scores]  # (n, d), (m, d) → (n, m)

TARGET_FPIR = 0.05
"""At which share of honest new identities a sample may be taken for `another`'s."""

MOST_KNOWN = 64
"""How many of an identity's samples a new one is compared to, the newest."""

UNLIKE = 0.05
"""The share of strangers who may come as near to an identity as a sample of its own does."""


@dataclass(frozen=True, slots=True)
class Doubts:
    """Of n samples, which are taken for another identity's, and how unlike their own they are.

    `shares` (n,) is the share of strangers who come as near, NaN where nothing is known of the
    identity but the sample.
    """

    another: npt.NDArray[np.bool_]
    shares: Scores

    def of(self, sample: int) -> Doubt | None:
        """Return what is odd about a sample, the worse first."""
        if self.another[sample]:
            return "another"
        return "unlike" if self.shares[sample] > UNLIKE else None


def shares_as_near(
    own: Scores, strangers: Scores, known: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return for each of n samples the share of strangers who come as near to what is known.

    `own` (n, r) are the samples' scores for r references, `strangers` (m, r) those of strangers,
    and `known` (n, r) says which references are known apart from the sample itself. Each comes as
    near as its best score. With itself among the strangers no share is 0 (a p-value).
    """
    shares = np.full(len(own), np.nan)
    for row in np.flatnonzero(known.any(axis=1)):
        best = own[row, known[row]].max()
        as_near = strangers[:, known[row]].max(axis=1) >= best
        shares[row] = (1 + as_near.sum()) / (1 + len(strangers))
    return shares


def unlikeness(
    samples: Embeddings, enrolled: Embeddings, strangers: Embeddings, score: PairScore
) -> npt.NDArray[np.float64]:
    """Return how unlike its own identity each of n samples (n, d) is, as `shares_as_near` says.

    Known of the identity are those of its samples that are `enrolled` (r, d), and the others that
    come with a sample.
    """
    references = np.concatenate([enrolled, samples])
    known = np.ones((len(samples), len(references)), bool)
    known[np.arange(len(samples)), len(enrolled) + np.arange(len(samples))] = False
    return shares_as_near(score(samples, references), score(strangers, references), known)
