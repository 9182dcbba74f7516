"""The gallery tried against itself: one sample of an identity is held out and searched for."""

from collections import Counter
from collections.abc import Sequence
from heapq import nsmallest
from zlib import crc32

import numpy as np

from index.best_scores import BestScores
from index.miss_rate import OwnMisses
from index.roster import Roster, Rule, Scores

TRIALS = 400
ENOUGH_STRANGERS = 10  # fewer trials than this say too little of whom strangers come close to


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
    ) -> None:
        self._rule = rule
        self._trials = trials
        self._enough_strangers = enough_strangers
        self._others = BestScores(rule, dimension)
        self._sample: dict[str, int] = {}  # identity → key of the sample held out
        # identity → its score for that by its other samples, if it has any, and how many these are
        self._own: dict[str, tuple[float, int]] = {}

    @property
    def strangers(self) -> Scores:
        """The best wrong identity's score in each trial (T,); empty below 10 trials."""
        return self._others.values if len(self._sample) >= self._enough_strangers else np.empty(0)

    @property
    def held_out(self) -> list[int]:
        """The keys of the samples that are tried, one of an identity, in rising order."""
        return sorted(self._sample.values())

    def missed(self, threshold: float) -> dict[str, bool]:
        """Return of each identity tried, and having a second sample, whether it would be missed.

        It would below the threshold, and below somebody else.
        """
        others = zip(self._others.owners, self._others.values.tolist(), strict=True)
        to_beat: dict[str | None, float] = {owner: max(threshold, best) for owner, best in others}
        return {identity: own < to_beat[identity] for identity, (own, _) in self._own.items()}

    def misses(self, threshold: float) -> OwnMisses | None:
        """Return what share of the genuine trials would be missed, or None if there were none."""
        missed = self.missed(threshold)
        if not missed:
            return None
        left = Counter(left for _, left in self._own.values())
        return OwnMisses(sum(missed.values()) / len(missed), left)

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
                self._own[identity] = own, len(roster.keys[identity]) - 1

    def _dismiss(self, identities: set[str]) -> None:
        if not identities:
            return
        self._others.dismiss(identities)
        for identity in identities:
            del self._sample[identity]
            self._own.pop(identity, None)


def _lot(identity: str) -> tuple[int, str]:
    return crc32(identity.encode(errors="surrogatepass")), identity
