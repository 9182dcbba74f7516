"""The gallery tried against itself: one sample of an identity is held out and searched for."""

from collections.abc import Sequence
from heapq import nsmallest
from zlib import crc32

import numpy as np

from index.best_scores import BestScores
from index.roster import Roster, Rule, Scores

TRIALS = 400
ENOUGH_STRANGERS = 20  # fewer trials than this say too little of whom strangers come close to
ENOUGH_GENUINE = 50  # and of how often the enrolled are missed


class LeaveOneOut:
    """Up to `trials` identities' oldest samples searched for, kept current change by change.

    Against all other identities such a sample is a stranger akin to the gallery; against the other
    samples of its own it is a genuine probe. Which identities are tried is drawn by a hash of
    their names, so that it depends on who is enrolled and not on how that came about.
    """

    def __init__(
        self,
        rule: Rule,
        dimension: int,
        *,
        trials: int = TRIALS,
        enough_strangers: int = ENOUGH_STRANGERS,
        enough_genuine: int = ENOUGH_GENUINE,
    ) -> None:
        self._rule = rule
        self._trials = trials
        self._enough_strangers = enough_strangers
        self._enough_genuine = enough_genuine
        self._others = BestScores(rule, dimension)
        self._sample: dict[str, int] = {}  # identity → key of the sample held out
        self._own: dict[str, float] = {}  # identity → its score for that, if it has more samples

    @property
    def strangers(self) -> Scores:
        """The best wrong identity's score in each trial (T,); empty below 20 trials."""
        return self._others.values if len(self._sample) >= self._enough_strangers else np.empty(0)

    def miss_rate(self, threshold: float) -> float | None:
        """Return the share of genuine trials below the threshold or below somebody else.

        None with fewer than 50 identities that have two samples.
        """
        if len(self._own) < self._enough_genuine:
            return None
        others = zip(self._others.owners, self._others.values.tolist(), strict=True)
        to_beat: dict[str | None, float] = {owner: max(threshold, best) for owner, best in others}
        missed = sum(own < to_beat[identity] for identity, own in self._own.items())
        return missed / len(self._own)

    def follow(self, roster: Roster, changed: Sequence[str]) -> None:
        """Take in that these identities have changed in the roster, or are gone from it."""
        stale = {
            identity
            for identity in changed
            if identity in self._sample
            and (identity not in roster or roster.oldest(identity) != self._sample[identity])
        }
        self._dismiss(stale)
        self._others.follow(roster, changed)

        drawn = {*self._sample, *(identity for identity in changed if identity in roster)}
        if stale and len(drawn) < len(roster):
            drawn = set(roster.identities)  # whoever was drawn next takes the empty place
        chosen = set(nsmallest(self._trials, drawn, key=_lot))
        self._dismiss(self._sample.keys() - chosen)
        admitted = sorted(chosen - self._sample.keys())
        self._sample.update((identity, roster.oldest(identity)) for identity in admitted)
        probes = roster.embeddings([self._sample[identity] for identity in admitted])
        self._others.admit(roster, probes, admitted)
        for identity in {*admitted, *changed} & chosen:
            own = roster.own_score(identity, self._rule)
            if own is None:
                self._own.pop(identity, None)
            else:
                self._own[identity] = own

    def _dismiss(self, identities: set[str]) -> None:
        if not identities:
            return
        self._others.dismiss(identities)
        for identity in identities:
            del self._sample[identity]
            self._own.pop(identity, None)


def _lot(identity: str) -> tuple[int, str]:
    return crc32(identity.encode(errors="surrogatepass")), identity
