"""What answers rest on: which rule decides, what its scores are worth, what a target takes."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from index.cohort import Cohort, Source, TargetUnresolvable
from index.decision import Evidence, Terms
from index.fusion import CHOICES, ENOUGH, clearly_best
from index.gallery import Embeddings, distances
from index.kinship import as_the_nearest, judging, unlike
from index.leave_one_out import TRIALS
from index.miss_rate import GenuineScores, expected_fnir
from index.posterior import PosteriorModel, PosteriorReason, Strangers
from index.ranking import Ranked
from index.roster import Roster, Rule
from index.searches import Searches

DEFAULT_TARGET_FPIR = 0.05
_TAKING_FPIR = 0.05  # the share of honest new identities that may be taken for others
_FEWEST_STRANGERS = 20  # that tell what strangers reach in a gallery
_MOST_SETTLED = 64  # ways to ask that are remembered until the next change

Measured = tuple[PosteriorModel | None, GenuineScores | None]
"""What a rule's scores are worth, as far as it was measured."""


class Grounds:
    """What a roster's answers rest on: strangers and its own samples, searched for by each rule.

    Whoever changes the roster says so with `follow`; what needs a search is right while `level`.
    Of `strangers` (M, d), their `groups` (M,) and the rest see `Identifier`. Many threads may ask
    at once, but none while another changes it.
    """

    def __init__(
        self,
        roster: Roster,
        strangers: Embeddings,
        source: Source,
        groups: npt.NDArray[np.int64] | None,
        calibrated: Mapping[Rule, Measured],
        rule: Rule,
        *,
        choosing: bool,
        own_trials: bool,
    ) -> None:
        self.searches = Searches(roster, strangers, TRIALS if own_trials else 0)
        self.source: Source = source
        self.groups = groups
        self.own_trials = own_trials
        self.roster = roster
        self._calibrated = self._measured = calibrated
        self._bundled = strangers
        self._strangers_unlike = False
        self._rule: Rule = rule
        self._choosing = choosing and own_trials
        self._chosen: Rule | None = None  # None: look again
        self._settled: dict[tuple[Rule, float | None, float | None], Terms] = {}
        self._taking: tuple[Rule, float] | None = None  # None: look again
        self._measure_likeness()

    @property
    def enough_strangers(self) -> bool:
        """Whether they are enough to tell what strangers reach here."""
        return len(self.searches.strangers) >= _FEWEST_STRANGERS

    def searched(self, rule: Rule | None) -> bool:
        """Whether there was a search by a rule; without one, by all that may decide."""
        return all(each in self.searches for each in self._needed(rule))

    def level(self, rule: Rule | None) -> bool:
        """Whether there was such a search, and it has caught up with the roster."""
        return not self.searches.behind and self.searched(rule)

    def make_level(self, rule: Rule | None) -> None:
        """Catch up with the roster, and search by what was not searched by."""
        self.catch_up()
        self._search(rule)

    def follow(self, changed: Sequence[str], gone: Sequence[int] = ()) -> None:
        """Take in that these identities have changed in the roster, of which these keys are gone.

        A crowd's searches wait until somebody asks, or there are too many.
        """
        for key in gone:
            self._own_likeness.pop(key, None)
        self._chosen = None
        self._settled.clear()
        if self.searches.note(changed):
            self.catch_up()

    def catch_up(self) -> None:
        """Let the searches follow all who have changed."""
        if not self.searches.behind:
            return
        self._look_again()
        self.searches.catch_up()
        if self._rule in self.searches and self._may_choose():
            self._search(None)

    def decide_by(self, rule: Rule, *, choosing: bool) -> None:
        """Let this rule decide from now on, or, with `choosing`, the one that misses fewest."""
        self._rule, self._choosing = rule, choosing and self.own_trials
        self._look_again()

    def replace_strangers(
        self,
        strangers: Embeddings,
        source: Source,
        groups: npt.NDArray[np.int64] | None,
        measured: Measured | None,
    ) -> None:
        """Rest on these strangers (M, d) from now on, and on what was `measured`, if anything."""
        self.source, self.groups = source, groups
        if measured is not None:
            calibrated = next(iter(self._calibrated.values()), (None, None))
            as_bundled = measured[0] == calibrated[0]
            self._measured = self._calibrated if as_bundled else by_rule(measured, {})
        some, others = self._bundled[:TRIALS], strangers[:TRIALS]
        self._strangers_unlike = self.own_trials and self._are_unlike(some, others)
        self._look_again()
        self.searches.replace_strangers(strangers)
        self._measure_likeness()

    def deciding(self) -> Rule:
        """Return the rule that decides where none is asked for."""
        if not self._may_choose():
            return self._rule
        if self._chosen is None:
            self._chosen = self._choice()
        return self._chosen

    def cohort(self, rule: Rule) -> tuple[Cohort, int, float]:
        """Return what thresholds rest on, how many own trials are in it, and their kinship."""
        strangers, own = self.searches.by(rule)
        return judging(
            strangers.values, self.groups, own.strangers, self.source, self.roster.highest
        )

    def terms(self, rule: Rule, target_fpir: float | None, threshold: float | None) -> Terms:
        """Return what decides at a target or else a threshold, the same until something changes.

        Raises TargetUnresolvable.
        """
        asked = (rule, target_fpir, threshold)
        terms = self._settled.get(asked)
        if terms is None:
            if len(self._settled) >= _MOST_SETTLED:
                self._settled.clear()
            terms = self._settled[asked] = self._settle(*asked)
        return terms

    def shares(
        self,
        terms: Terms,
        probes: Embeddings,
        rankings: Sequence[Sequence[Ranked]],
        prior_known: float,
    ) -> list[list[float] | None]:
        """Return each probe's (n, d) posteriors in the order of its ranking, nobody's last."""
        model = None if terms.posterior_reason else self._worth(terms.rule)[0]
        if not model:
            return [None] * len(rankings)
        alike = self._likeness.likeness(probes) - terms.likeness
        everybody = self.roster.scores(probes, self.roster.identities, terms.rule)
        listed = [[each.score for each in ranking] for ranking in rankings]
        samples, crowd = self._samples_each, terms.cohort.crowd
        return [*model.shares(listed, everybody, samples, alike, crowd, prior_known)]

    def taking(self) -> tuple[Rule, float] | None:
        """Return by which rule and from which score a new sample is taken for another's, if any.

        It is the same until the searches have caught up.
        """
        if not len(self.roster):
            return None
        if self._taking is None:
            rule = self.deciding()
            try:
                self._taking = rule, self.cohort(rule)[0].threshold(_TAKING_FPIR)
            except TargetUnresolvable:
                return None
        return self._taking

    def _look_again(self) -> None:
        self._chosen = self._taking = None
        self._settled.clear()

    def _search(self, rule: Rule | None) -> None:
        for each in self._needed(rule):
            self.searches.search(each)

    def _needed(self, rule: Rule | None) -> tuple[Rule, ...]:
        if rule is not None:
            return (rule,)
        return (self._rule, *CHOICES) if self._may_choose() else (self._rule,)

    def _may_choose(self) -> bool:
        several = sum(count for size, count in self.roster.sizes.items() if size > 1)
        return self._choosing and several >= ENOUGH

    def _choice(self) -> Rule:
        missed = {}
        for rule in dict.fromkeys(self._needed(None)):
            try:
                threshold = self.cohort(rule)[0].threshold(DEFAULT_TARGET_FPIR)
            except TargetUnresolvable:
                return self._rule
            missed[rule] = self.searches.by(rule)[1].missed(threshold)
        return clearly_best(missed, self._rule)

    def _settle(self, rule: Rule, target_fpir: float | None, threshold: float | None) -> Terms:
        strangers, own = self.searches.by(rule)
        cohort, trials, raised = self.cohort(rule)
        interval = None
        if target_fpir is not None:
            interval = cohort.fpir_interval(target_fpir)  # first of all: is it resolved?
        elif threshold is not None and len(cohort):
            interval = cohort.fpir_interval_at(threshold)
        why_not = self._why_no_posterior(rule)
        counted = len(strangers.values)
        if not len(self.roster):
            evidence = Evidence(self.source, counted, 0, None)
            return Terms(rule, cohort, None, target_fpir, "empty-gallery", why_not, evidence)
        if threshold is None:
            threshold = cohort.threshold(target_fpir or DEFAULT_TARGET_FPIR)
        genuine = self._worth(rule)[1]
        elsewhere = genuine is not None and self._is_unlike_calibration(rule)
        missed, between = expected_fnir(
            None if elsewhere else genuine,
            own.misses(threshold),
            rule,
            threshold,
            strangers.values,
            self.roster.sizes,
        )
        if elsewhere and missed == "no-calibration":
            missed = "kind-unlike-calibration"
        fitted: Source = "bundle" if self._measured is self._calibrated else "gallery"
        evidence = Evidence(
            self.source, counted, trials, interval, raised, between, None if why_not else fitted
        )
        common = 0.0 if why_not else self._common_likeness(rule)
        return Terms(rule, cohort, threshold, target_fpir, missed, why_not, evidence, common)

    def _worth(self, rule: Rule) -> Measured:
        """Return what was measured of this rule, or of another, which knows that it is."""
        return self._measured.get(rule) or next(iter(self._measured.values()), (None, None))

    def _why_no_posterior(self, rule: Rule) -> PosteriorReason | None:
        if not len(self.roster):
            return "empty-gallery"
        model = self._worth(rule)[0]
        if model is None:
            return "no-calibration"
        if not self.enough_strangers:
            return "too-few-strangers"
        if self._is_unlike_calibration(rule):
            return "kind-unlike-calibration"
        return model.why_not(rule, len(self.roster), self._samples_each)

    def _is_unlike_calibration(self, rule: Rule) -> bool:
        """Whether the gallery is not of the kind that the bundle's calibration is of, it seems."""
        if self._measured is not self._calibrated:
            return False
        if self.source == "gallery":
            return self._strangers_unlike
        strangers, own = self.searches.by(rule)
        highest = self.roster.highest
        near = as_the_nearest(strangers.values, self.groups, highest)
        return unlike(near, own.strangers, highest)

    def _are_unlike(self, bundled: Embeddings, others: Embeddings) -> bool:
        """Whether a gallery of others (T, d) would not be of the kind of the bundle's (M, d)."""
        metric, highest = self.roster.references.metric, self.roster.highest
        theirs, own = distances(bundled, others, metric), distances(others, others, metric)
        np.fill_diagonal(own, np.inf)
        a, b = (self.roster.score_at(far.min(axis=1, initial=np.inf)) for far in (theirs, own))
        return unlike(a, b, highest)

    @property
    def _samples_each(self) -> float:
        return self.roster.samples / len(self.roster)

    def _measure_likeness(self) -> None:
        metric = self.roster.references.metric
        self._likeness = Strangers(self.searches.strangers, self.roster.score_at, metric)
        self._own_likeness: dict[int, float] = {}  # key of a sample tried → its likeness

    def _common_likeness(self, rule: Rule) -> float:
        """Return what likeness to strangers is common here; only new samples are looked at."""
        tried, known = self.searches.by(rule)[1].held_out, self._own_likeness
        new = [key for key in tried if key not in known]
        if new or len(known) > len(tried):
            found = self._likeness.likeness(self.roster.embeddings(new)).tolist() if new else []
            known = known | dict(zip(new, found, strict=True))
            known = self._own_likeness = {key: known[key] for key in tried}
        return self._likeness.common(np.array([known[key] for key in tried]))


def by_rule(measured: Measured, others: Mapping[Rule, Measured]) -> dict[Rule, Measured]:
    """Return what was measured of a rule, under the rule that it names, and of the others."""
    known = [each.rule for each in measured if each is not None]
    return {known[0]: measured, **others} if known else dict(others)
