"""The gallery tried against itself: one sample of an identity is held out and searched for."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from index.best_scores import BestScores
from index.frozen import FrozenBest, FrozenSearch
from index.miss_rate import OwnMisses
from index.roster import Roster, Rule, Scores

TRIALS = 400
ENOUGH_STRANGERS = 10  # fewer trials than this say too little of whom strangers come close to


@dataclass(frozen=True, slots=True)
class Tried:
    """A sample held out, under its key: what its own identity reaches by others, if it has any.

    `rival` is who of all others comes closest, if there is anybody.
    """

    identity: str
    key: int
    own: float | None
    rival: str | None
    rival_score: float | None


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
    def genuine(self) -> int:
        """How many of the trials are of identities that have a second sample to be known by."""
        return len(self._own)

    @property
    def held_out(self) -> list[int]:
        """The keys of the samples that are tried, one of an identity, in rising order."""
        return sorted(self._sample.values())

    def tried(self) -> list[Tried]:
        """Return every trial, in the order of the samples' keys."""
        others = zip(self._others.owners, self._others.nearest(), strict=True)
        found = []
        for identity, (rival, score) in others:
            assert identity is not None  # noqa: S101 - whoever is tried is enrolled
            own, _ = self._own.get(identity, (None, 0))
            rival_score = None if rival is None else score
            found.append(Tried(identity, self._sample[identity], own, rival, rival_score))
        return sorted(found, key=lambda each: each.key)

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
        chosen = _lowest(drawn, self._trials)
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

    def freeze(self, rows: Mapping[str, int], strangers: FrozenBest) -> FrozenSearch:
        """Return what was found, identities being told by row, beside what was of strangers."""
        tried = [owner for owner in self._others.owners if owner is not None]
        own = [self._own.get(identity, (np.nan, 0)) for identity in tried]
        return FrozenSearch(
            strangers=strangers,
            others=self._others.freeze(rows),
            tried=np.array([rows[identity] for identity in tried], np.int64),
            held_out=np.array([self._sample[identity] for identity in tried], np.int64),
            own=np.array([score for score, _ in own]),
            left=np.array([left for _, left in own], np.int64),
        )

    def thaw(self, roster: Roster, found: FrozenSearch, identities: Sequence[str]) -> None:
        """Take in what was found before in a roster that is the same now."""
        tried = [identities[row] for row in found.tried.tolist()]
        self._sample = dict(zip(tried, found.held_out.tolist(), strict=True))
        probes = roster.embeddings(found.held_out.tolist())
        self._others.thaw(probes, tried, found.others, identities)
        own = zip(tried, found.own.tolist(), found.left.tolist(), strict=True)
        self._own = {identity: (score, left) for identity, score, left in own if left}

    def _dismiss(self, identities: set[str]) -> None:
        if not identities:
            return
        self._others.dismiss(identities)
        for identity in identities:
            del self._sample[identity]
            self._own.pop(identity, None)


def _lowest(identities: Collection[str], most: int) -> set[str]:
    """Return those with the lowest lots, `most` of them; of equal lots the first by name."""
    if len(identities) <= most:
        return set(identities)
    names = list(identities)
    lots = np.array([crc32(name.encode("utf-8", "surrogatepass")) for name in names])
    enough = np.partition(lots, most - 1)[most - 1] if most else -1
    drawn = [(int(lots[i]), names[i]) for i in np.flatnonzero(lots <= enough).tolist()]
    return {name for _, name in sorted(drawn)[:most]}
