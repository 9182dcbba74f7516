"""What is odd about samples that are about to be enrolled: whose they seem to be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
import numpy.typing as npt

from index.contenders import ROUNDING
from index.gallery import Embeddings
from index.grounds import Grounds
from index.ranking import rank
from index.roster import Roster, Rule, Scores

Doubt = Literal["another", "unlike"]
"""`another`: the sample would be named as another identity. `unlike`: too many strangers come as
near to what else is known of its identity."""

PairScore = Callable[[Embeddings, Embeddings], Scores]  # (n, d), (m, d) → (n, m)

MOST_KNOWN = 64
"""How many of an identity's samples a new one is compared to, the newest."""

_FEW = 16  # samples that are ranked at once, before most of more are ruled out
_DEPTH = 8  # neighbours that tell who is first, where the nearest is

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

    @classmethod
    def none(cls, samples: int) -> "Doubts":
        """Return what is odd about so many samples of which nothing is known."""
        return cls(np.zeros(samples, bool), np.full(samples, np.nan))

    def of(self, sample: int) -> Doubt | None:
        """Return what is odd about a sample, the worse first."""
        if self.another[sample]:
            return "another"
        return "unlike" if self.shares[sample] > UNLIKE else None


def doubts_together(grounds: Grounds, identity: str, samples: Embeddings) -> Doubts:
    """Return what is odd about samples (n, d) that are enrolled under an identity together."""
    roster, found = grounds.roster, Doubts.none(len(samples))
    if taking := grounds.taking():
        same = [identity] * len(samples)
        found.another[taken_for_others(roster, *taking, same, samples)] = True
    if not grounds.enough_strangers:
        return found
    enrolled = roster.embeddings(roster.keys.get(identity, [])[-MOST_KNOWN:])
    shares = unlikeness(samples, enrolled, grounds.searches.strangers, roster.score)
    return Doubts(found.another, shares)


def doubts_of_each(
    grounds: Grounds, identities: Sequence[str], samples: Embeddings, *, others: bool
) -> list[Doubt | None]:
    """Return what is odd about samples (n, d), each enrolled under an identity alone.

    Unless `others` are looked for, that is only whether it is like its own.
    """
    roster, doubts = grounds.roster, dict[int, Doubt]()
    if grounds.enough_strangers:
        unlike = unlike_each(roster, grounds.searches.strangers, identities, samples)
        doubts.update(dict.fromkeys(unlike, "unlike"))
    if others and (taking := grounds.taking()):
        taken = taken_for_others(roster, *taking, identities, samples)
        doubts.update(dict.fromkeys(taken, "another"))
    return [doubts.get(i) for i in range(len(samples))]


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


def unlike_each(
    roster: Roster, strangers: Embeddings, identities: Sequence[str], samples: Embeddings
) -> list[int]:
    """Return which samples (n, d) are as unlike those of their identity as strangers (m, d) are.

    Each is enrolled alone, so known of an identity is what is enrolled. Most are told in float32,
    all at once.
    """
    here = [i for i, identity in enumerate(identities) if identity in roster]
    each_once = dict.fromkeys(identities[i] for i in here)
    owners = {identity: j for j, identity in enumerate(each_once)}
    if not owners:
        return []
    newest = [roster.keys[identity][-MOST_KNOWN:] for identity in owners]
    known = roster.embeddings(list(chain.from_iterable(newest)))
    ends = np.cumsum(list(map(len, newest)))
    of = np.array([owners[identities[i]] for i in here])
    own = [known[ends[j] - len(newest[j]) : ends[j]] for j in of.tolist()]
    if roster.references.metric == "cosine":
        best = np.array([(rows @ samples[i]).max() for i, rows in zip(here, own, strict=True)])
        starts = ends - list(map(len, newest))
        theirs = np.maximum.reduceat(strangers @ known.T, starts, axis=1)
        surely, perhaps = _as_near(roster, best, roster.score_at(1 - theirs)[:, of])
    else:
        surely, perhaps = np.zeros(len(here), bool), np.ones(len(here), bool)
    for row in np.flatnonzero(perhaps & ~surely).tolist():
        share = unlikeness(samples[here[row]][None], own[row], strangers, roster.score)[0]
        surely[row] = share > UNLIKE
    return [here[row] for row in np.flatnonzero(surely).tolist()]


def _as_near(
    roster: Roster, best: Embeddings, theirs: Scores
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which of n cosines (n,) too many of m strangers (m, n) reach for sure, and perhaps.

    Rounding is granted to the cosines and to those behind the strangers' scores.
    """
    shares = [
        (1 + (theirs >= roster.score_at(1 - (best + by))).sum(axis=0)) / (1 + len(theirs))
        for by in (2 * ROUNDING, -2 * ROUNDING)
    ]
    return shares[0] > UNLIKE, shares[1] > UNLIKE


def taken_for_others(
    roster: Roster, rule: Rule, threshold: float, identities: Sequence[str], samples: Embeddings
) -> list[int]:
    """Return which samples (n, d) would be named as another than their identity.

    Of many, most are ruled out before, in float32.
    """
    rows = list(range(len(samples)))
    if len(rows) > _FEW and roster.references.metric == "cosine":
        rows = _near_others(roster, rule, threshold, identities, samples)
    firsts = [ranking[0] for ranking in rank(roster, samples[rows], rule, 1, depth=_DEPTH)]
    return [
        row
        for row, first in zip(rows, firsts, strict=True)
        if first.score >= threshold and first.identity != identities[row]
    ]


def _near_others(
    roster: Roster, rule: Rule, threshold: float, identities: Sequence[str], samples: Embeddings
) -> list[int]:
    """Return to which samples somebody else may score a threshold at least.

    No rule scores an identity above its nearest row.
    """
    everybody = roster.identities
    rows, counts = roster.rows(everybody, rule)
    ends = np.cumsum(counts)
    place = {identity: j for j, identity in enumerate(everybody)}
    close = samples @ rows.T
    for row, identity in enumerate(identities):
        if (j := place.get(identity)) is not None:
            close[row, ends[j] - counts[j] : ends[j]] = -1
    nearest = np.maximum(1 - close.max(axis=1) - ROUNDING, 0)
    return [int(row) for row in np.flatnonzero(roster.score_at(nearest) >= threshold)]
