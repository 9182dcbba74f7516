"""What strangers and its own samples reach in a gallery, by each rule and change by change."""

from collections.abc import Mapping, Sequence

from index.best_scores import BestScores
from index.frozen import FrozenSearch
from index.gallery import Embeddings
from index.leave_one_out import LeaveOneOut
from index.roster import Roster, Rule

_FEW = 64  # identities whose change is followed at once
# The others it may be behind by until somebody asks: so many, or one in so many of all there are.
_MOST_BEHIND, _OF_WHICH = 4096, 8


class Searches:
    """Strangers (M, d), and samples held out, searched for in a roster by every rule asked for.

    What was found is told who has changed, and follows when it catches up. `trials` samples are
    held out at most. Not guarded against other threads.
    """

    def __init__(self, roster: Roster, strangers: Embeddings, trials: int) -> None:
        self._roster = roster
        self._strangers = strangers
        self._trials = trials
        self._found: dict[Rule, tuple[BestScores, LeaveOneOut]] = {}
        self._behind: dict[str, None] = {}  # who has changed since it last caught up

    @property
    def strangers(self) -> Embeddings:
        """The strangers' embeddings (M, d)."""
        return self._strangers

    @property
    def behind(self) -> bool:
        """Whether anybody has changed since it last caught up."""
        return bool(self._behind)

    def __contains__(self, rule: Rule) -> bool:
        return searched_as(rule) in self._found

    def by(self, rule: Rule) -> tuple[BestScores, LeaveOneOut]:
        """Return what was found by a rule: of the strangers, and of the samples held out."""
        return self._found[searched_as(rule)]

    def search(self, rule: Rule) -> None:
        """Search by this rule, unless that was done."""
        if rule in self:
            return
        rule = searched_as(rule)
        if rule == "centroid":
            self._roster.keep_centroids()
        own = LeaveOneOut(rule, self._roster.references.dimension, trials=self._trials)
        own.follow(self._roster, self._roster.identities)
        self._found[rule] = (self._strangers_searched(rule), own)

    def replace_strangers(self, strangers: Embeddings) -> None:
        """Search for these strangers (M, d) instead, by the same rules."""
        self._strangers = strangers
        for rule, (_, own) in self._found.items():
            self._found[rule] = (self._strangers_searched(rule), own)

    def note(self, changed: Sequence[str]) -> bool:
        """Note who has changed; whether to catch up now: these are few, or many are noted."""
        if not self._found:
            return False
        self._behind.update(dict.fromkeys(changed))
        most = min(_MOST_BEHIND, len(self._roster) // _OF_WHICH)
        return len(changed) <= _FEW or len(self._behind) > most

    def catch_up(self) -> None:
        """Follow all who have changed."""
        changed = list(self._behind)
        self._behind.clear()
        for strangers, own in self._found.values():
            strangers.follow(self._roster, changed)
            own.follow(self._roster, changed)

    def freeze(self) -> dict[Rule, FrozenSearch]:
        """Return what was found, as arrays that no later change touches."""
        rows = {identity: row for row, identity in enumerate(self._roster.identities)}
        return {
            rule: own.freeze(rows, strangers.freeze(rows))
            for rule, (strangers, own) in self._found.items()
        }

    def thaw(self, found: Mapping[Rule, FrozenSearch], identities: Sequence[str]) -> None:
        """Take in what was found before, of the same strangers in a roster that is the same."""
        dimension, nobody = self._roster.references.dimension, [None] * len(self._strangers)
        for rule, each in found.items():
            strangers = BestScores(rule, dimension)
            own = LeaveOneOut(rule, dimension, trials=self._trials)
            strangers.thaw(self._strangers, nobody, each.strangers, identities)
            own.thaw(self._roster, each, identities)
            self._found[rule] = (strangers, own)

    def _strangers_searched(self, rule: Rule) -> BestScores:
        best = BestScores(rule, self._roster.references.dimension)
        best.admit(self._roster, self._strangers, [None] * len(self._strangers))
        return best


def searched_as(rule: Rule) -> Rule:
    """Return the rule that is searched by: `knn` scores identities as `mean` does."""
    return "mean" if rule == "knn" else rule
