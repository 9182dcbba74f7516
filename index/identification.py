"""Who is it? A gallery with all that its answers rest on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

import numpy as np
import numpy.typing as npt

from index.best_scores import BestScores
from index.boundary import Boundary, Sides, enrolled_trials, stranger_trials
from index.canaries import judge_apart
from index.cohort import Cohort, Source, TargetUnresolvable
from index.decision import Evidence, Identification, Outcome, Terms, decide
from index.doubts import (
    MOST_KNOWN,
    Doubt,
    Doubts,
    taken_for_others,
    unlike_each,
    unlikeness,
)
from index.doubts import TARGET_FPIR as DOUBTFUL_FPIR
from index.frozen import Frozen, FrozenSearch
from index.fusion import CHOICES, ENOUGH, clearly_best
from index.gallery import Embeddings, Gallery, Reference, UnknownKey, checked
from index.kinship import judging
from index.leave_one_out import TRIALS, LeaveOneOut
from index.miss_rate import GenuineScores, expected_fnir, fnir_interval
from index.mistakable import LeftOut, left_out
from index.operating_curve import CurvePoint, OperatingCurve
from index.posterior import PosteriorModel, PosteriorReason, Strangers
from index.ranking import Ranked, rank
from index.readers_writer import ReadersWriterLock
from index.rejections import rejected
from index.roster import Roster, Rule, Score

DEFAULT_TARGET_FPIR = 0.05
_FEWEST_STRANGERS = 20  # that tell what strangers reach in a gallery
_FEW = 64  # identities whose change the evidence follows at once
# The others it may be behind by until somebody asks: so many, or one in so many of all there are.
_MOST_BEHIND, _OF_WHICH = 4096, 8
_MOST_SETTLED = 64  # ways to ask that are remembered until the next change

Measured = tuple[PosteriorModel | None, GenuineScores | None]
"""What a rule's scores are worth, as far as it was measured."""


class Identifier:
    """A gallery that says who a probe is, or that it is nobody enrolled.

    `engine` makes empty galleries, `score` turns distances into scores and never rises with
    distance, and `cohort` (M, d) holds one embedding of each of M strangers, in `cohort_groups`
    (M,) if some are unlike others. `posterior` and `genuine` come from the comparator's
    calibration, as `others` do for rules besides `rule`. With `choosing`, a gallery of 40
    identities with two samples decides by whichever of `fusion.CHOICES` misses clearly fewest of
    its own samples. Without `own_trials` the gallery is never tried against itself: where probes
    are embedded by another encoder than references, its own samples stand for no probes. Many
    threads may identify while one enrolls or forgets: an identification sees one version of the
    gallery.
    """

    def __init__(
        self,
        engine: Callable[[], Gallery],
        score: Score,
        cohort: Embeddings,
        *,
        rule: Rule = "max",
        cohort_groups: npt.NDArray[np.int64] | None = None,
        source: Source = "bundle",
        posterior: PosteriorModel | None = None,
        genuine: GenuineScores | None = None,
        others: Mapping[Rule, Measured] | None = None,
        choosing: bool = False,
        own_trials: bool = True,
    ) -> None:
        self._roster = Roster(engine, score)
        self._score = score
        strangers = self._checked(cohort)
        self._strangers = (strangers, source)
        self._groups = cohort_groups
        self._rule: Rule = rule
        self._choosing = choosing and own_trials
        self._trials = TRIALS if own_trials else 0
        self._chosen: Rule | None = None  # None: look again
        self._calibrated = _by_rule((posterior, genuine), others or {})
        self._measured = self._calibrated
        self._measure_likeness(strangers)
        self._searches: dict[Rule, tuple[BestScores, LeaveOneOut]] = {}
        self._settled: dict[tuple[Rule, float | None, float | None], Terms] = {}
        self._rejections: dict[str, Embeddings] = {}
        self._doubtful_at: tuple[Rule, float] | None = None  # None: to be looked up
        self._behind: dict[str, None] = {}  # who has changed since the evidence followed
        self._lock = ReadersWriterLock()

    @property
    def identities(self) -> int:
        """How many identities are enrolled."""
        return len(self._roster)

    def similar(self, identity: str, top: int) -> list[tuple[str, float]]:
        """Return who is most like an identity: others, each with the best score of its samples.

        Nobody is where references are not compared with each other, or the identity has none.
        """
        with self._level():
            keys = self._roster.keys.get(identity, [])[-MOST_KNOWN:]
            if not self._trials or not keys:
                return []
            probes = self._roster.embeddings(keys)
            best: dict[str, float] = {}
            for ranking in rank(self._roster, probes, self._deciding(), top + 1):
                for each in ranking:
                    if each.identity != identity:
                        best[each.identity] = max(each.score, best.get(each.identity, 0.0))
            return sorted(best.items(), key=lambda found: (-found[1], found[0]))[:top]

    def knows(self, identities: Iterable[str]) -> bool:
        """Whether all of these are enrolled."""
        with self._lock.reading():
            return all(identity in self._roster for identity in identities)

    @property
    def recall(self) -> float:
        """The share of the ten nearest that searches find, when last measured; exact is 1."""
        return self._roster.recall

    @property
    def samples(self) -> int:
        """How many references are enrolled."""
        return self._roster.samples

    def enroll(self, references: Sequence[Reference], embeddings: Embeddings) -> None:
        """Take in references with their embeddings (n, d), or raise as `Gallery.add` does."""
        with self._lock.writing():
            self._follow(self._roster.enroll(references, embeddings))

    def forget(self, keys: Sequence[int]) -> None:
        """Drop references, and identities with none left, or raise UnknownKey."""
        with self._lock.writing():
            self._follow(self._roster.forget(keys))
            for key in keys:
                self._own_likeness.pop(key, None)

    def change(
        self, gone: Sequence[int], references: Sequence[Reference], embeddings: Embeddings
    ) -> None:
        """Drop references and take in others (n, d) at once, which may have keys of those dropped.

        Nobody is asked in between: who is renamed is never seen to be gone.
        """
        with self._lock.writing():
            changed = self._roster.forget(gone) if gone else []
            for key in gone:
                self._own_likeness.pop(key, None)
            if references:
                changed += self._roster.enroll(references, embeddings)
            self._follow(list(dict.fromkeys(changed)))

    def decide_by(self, rule: Rule, choosing: bool) -> None:  # noqa: FBT001 - called in a thread
        """Decide by this rule from now on; with `choosing`, by the one that misses fewest."""
        with self._lock.writing():
            self._rule, self._choosing = rule, choosing and bool(self._trials)
            self._chosen = self._doubtful_at = None
        self.prepare()

    def reject(self, rejections: Mapping[str, Embeddings]) -> None:
        """Have these probes (m, d) be none of each identity from now on, nor their like."""
        with self._lock.writing():
            self._rejections = dict(rejections)

    def _is_rejected(self, probe: Embeddings, ranking: list[Ranked]) -> bool:
        """Whether a probe (d,) is more like what was not its first candidate than like them."""
        probes = self._rejections.get(ranking[0].identity) if ranking else None
        if probes is None:
            return False
        own = self._roster.embeddings(self._roster.keys[ranking[0].identity])
        return rejected(probe, own, probes, self._roster.references.metric)

    def replace_cohort(
        self,
        embeddings: Embeddings,
        source: Source = "gallery",
        measured: Measured | None = None,
        cohort_groups: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Judge by these strangers (M, d) from now on, or raise a BadEmbeddings.

        `measured` replaces the comparator's posterior and genuine scores by others, and leaves
        none to the rules besides.
        """
        strangers = self._checked(embeddings)
        with self._lock.writing():
            self._strangers = (strangers, source)
            self._groups = cohort_groups
            self._measure_likeness(strangers)
            self._chosen = self._doubtful_at = None
            self._settled.clear()
            if measured is not None:
                calibrated = next(iter(self._calibrated.values()), (None, None))
                as_bundled = measured[0] == calibrated[0]
                self._measured = self._calibrated if as_bundled else _by_rule(measured, {})
            for rule, (_, own) in self._searches.items():
                self._searches[rule] = (self._strangers_searched(rule), own)

    def enrolled(self) -> tuple[list[Reference], Embeddings]:
        """Return every reference, identity by identity, and their embeddings (n, d)."""
        with self._lock.reading():
            references = self._roster.enrolled()
            return references, self._roster.embeddings([each.key for each in references])

    def freeze(self) -> Frozen:
        """Return all that is held, as arrays that no later change touches."""
        with self._level(search=False):
            roster = self._roster
            identities = roster.identities
            rows = {identity: row for row, identity in enumerate(identities)}
            keys = list(chain.from_iterable(roster.keys.values()))
            return Frozen(
                identities=identities,
                counts=np.array([len(each) for each in roster.keys.values()], np.int64),
                keys=np.array(keys, np.int64),
                embeddings=roster.embeddings(keys),
                centroids=roster.all_centroids(),
                searches={
                    rule: own.freeze(rows, strangers.freeze(rows))
                    for rule, (strangers, own) in self._searches.items()
                },
            )

    def thaw(self, frozen: Frozen, *, searched: bool) -> None:
        """Take up what `freeze` gave where nobody is enrolled yet; of arrays see `Gallery.fill`.

        With `searched` also what was found by searching: only for the same strangers, compared in
        the same way.
        """
        with self._lock.writing():
            self._settled.clear()
            self._roster.fill(frozen.identities, frozen.counts, frozen.keys, frozen.embeddings)
            if not searched:
                return
            if frozen.centroids is not None:
                self._roster.fill_centroids(frozen.centroids)
            for rule, found in frozen.searches.items():
                self._searches[rule] = self._thawed(rule, found, frozen.identities)

    def _thawed(
        self, rule: Rule, found: FrozenSearch, identities: Sequence[str]
    ) -> tuple[BestScores, LeaveOneOut]:
        members, dimension = self._strangers[0], self._roster.references.dimension
        strangers = BestScores(rule, dimension)
        own = LeaveOneOut(rule, dimension, trials=self._trials)
        strangers.thaw(members, [None] * len(members), found.strangers, identities)
        own.thaw(self._roster, found, identities)
        return strangers, own

    def identify(
        self,
        probes: Embeddings,
        *,
        rule: Rule | None = None,
        target_fpir: float | None = None,
        threshold: float | None = None,
        k: int = 5,
        top: int = 5,
        prior_known: float = 0.5,
    ) -> list[Identification]:
        """Say of each probe (n, d) whose it is.

        Either `target_fpir` (default .05) or `threshold` says when a first candidate is named.
        `top` candidates are listed with `k` references each; neither changes a decision.
        `prior_known`, the share of probes that are of anybody enrolled, moves the posteriors.
        Raises TargetUnresolvable, or as `Gallery.search` does.
        """
        if target_fpir is not None and threshold is not None:
            raise ValueError("give target_fpir or threshold, not both")
        if target_fpir is None and threshold is None:
            target_fpir = DEFAULT_TARGET_FPIR
        probes = self._checked(probes)
        with self._level(rule):
            rule = rule or self._deciding()
            terms = self._terms(rule, target_fpir, threshold)
            model = None if terms.posterior_reason else self._worth(rule)[0]
            rankings = rank(self._roster, probes, rule, max(top, 2))
            shares = self._shares(model, terms, probes, rankings, prior_known)
            return [
                decide(
                    terms,
                    ranking,
                    share,
                    self._roster.sample_scores(probe, [e.identity for e in ranking[:top]], k),
                    rejected=self._is_rejected(probe, ranking),
                )
                for probe, ranking, share in zip(probes, rankings, shares, strict=True)
            ]

    def doubts(self, identity: str, samples: Embeddings) -> Doubts:
        """Say what is odd about samples (n, d) that are about to be enrolled under an identity.

        Nothing is where the gallery is not tried against itself, or its strangers are too few.
        """
        samples = self._checked(samples)
        another, shares = np.zeros(len(samples), bool), np.full(len(samples), np.nan)
        if not self._trials:
            return Doubts(another, shares)
        if not self._searched():
            self.prepare()
        with self._lock.reading():
            if len(self._roster) and (terms := self._doubtful()):
                alone = [identity] * len(samples)
                another[taken_for_others(self._roster, *terms, alone, samples)] = True
            if len(self._strangers[0]) >= _FEWEST_STRANGERS:
                keys = self._roster.keys.get(identity, [])[-MOST_KNOWN:]
                enrolled = self._roster.embeddings(keys)
                shares = unlikeness(samples, enrolled, self._strangers[0], self._roster.score)
        return Doubts(another, shares)

    def doubts_of_each(
        self, identities: Sequence[str], samples: Embeddings, *, others: bool = True
    ) -> list[Doubt | None]:
        """Say what is odd about samples (n, d), each about to be enrolled under an identity alone.

        Unless `others` are looked for whom it would be named as, that is only whether it is like
        its own. The evidence may be a few changes behind.
        """
        samples = self._checked(samples)
        doubts: list[Doubt | None] = [None] * len(samples)
        if not self._trials:
            return doubts
        if others and not self._searched():
            self.prepare()
        with self._lock.reading():
            if len(self._strangers[0]) >= _FEWEST_STRANGERS:
                for i in unlike_each(self._roster, self._strangers[0], identities, samples):
                    doubts[i] = "unlike"
            if others and len(self._roster) and (terms := self._doubtful()):
                for i in taken_for_others(self._roster, *terms, identities, samples):
                    doubts[i] = "another"
        return doubts

    def _doubtful(self) -> tuple[Rule, float] | None:
        """Return by which rule and from which score a sample is taken for another's, if any.

        It is the same until the evidence is level again.
        """
        if self._doubtful_at is None:
            rule = self._deciding()
            cohort, _, _ = self._cohort(*self._searches[_evidence_rule(rule)])
            try:
                self._doubtful_at = rule, cohort.threshold(DOUBTFUL_FPIR)
            except TargetUnresolvable:
                return None
        return self._doubtful_at

    def threshold(self, target_fpir: float) -> float | None:
        """Return the score that a match needs now; None if nobody is enrolled or it is unknown."""
        with self._level():
            try:
                return self._terms(self._deciding(), target_fpir, None).threshold
            except TargetUnresolvable:
                return None

    def deciding(self) -> Rule:
        """Return the rule that decides now, where none is asked for."""
        with self._level():
            return self._deciding()

    def left_out(self, keys: Sequence[int], threshold: float) -> list[LeftOut] | None:
        """Say what samples would be named as, were each a probe and not enrolled.

        None where the gallery is not tried against itself. Raises UnknownKey.
        """
        if not self._trials:
            return None
        with self._level():
            if unknown := [key for key in keys if key not in self._roster.owner]:
                raise UnknownKey(f"key {unknown[0]} is not enrolled")
            return left_out(self._roster, keys, _evidence_rule(self._deciding()), threshold)

    def judged_apart(self, strangers: Embeddings, target_fpir: float) -> list[Outcome]:
        """Say what becomes of strangers (n, d), none of whom bears witness in its own case.

        They are searched for anew, and each is judged by the evidence in force without itself,
        if it is in there. Where leaving it out resolves the target no more, nobody would be
        named. Raises TargetUnresolvable where all the evidence does not resolve it.
        """
        strangers = self._checked(strangers)
        with self._level():
            rule = self._deciding()
            terms = self._terms(rule, target_fpir, None)
            searched, own = self._searches[_evidence_rule(rule)]
            evidence = (searched.values.copy(), self._groups, own.strangers.copy())
            members, source = self._strangers
            rankings = rank(self._roster, strangers, rule, 2)
        rows = {member.tobytes(): row for row, member in enumerate(members)}
        return [
            judge_apart(
                terms, target_fpir, ranking, *evidence, source, rows.get(stranger.tobytes())
            )
            for stranger, ranking in zip(strangers, rankings, strict=True)
        ]

    def tried(self) -> Embeddings:
        """Return the samples (T, d) that the gallery is tried with, one of an identity."""
        with self._level():
            own = self._searches[_evidence_rule(self._deciding())][1]
            return self._roster.embeddings(own.held_out)

    def operating_curve(self, targets: Iterable[float]) -> OperatingCurve:
        """Return what identifying at each of these targets would rest on and cost now."""
        with self._level():
            rule = self._deciding()
            strangers, own = self._searches[_evidence_rule(rule)]
            cohort, trials, raised = self._cohort(strangers, own)
            return OperatingCurve(
                rule,
                self._strangers[1],
                len(strangers.values),
                trials,
                own.genuine,
                raised,
                cohort.resolvable_from,
                tuple(
                    CurvePoint.of(target, self._terms(rule, target, None))
                    if target >= cohort.resolvable_from
                    else CurvePoint.unresolved(target)
                    for target in sorted(set(targets))
                ),
            )

    def boundary(self, target_fpir: float, most: int) -> Boundary:
        """Return who comes nearest to the threshold of a target now, `most` on either side of it.

        Those are the trials that the threshold and its rates rest on. Raises TargetUnresolvable.
        """
        with self._level():
            rule = self._deciding()
            terms = self._terms(rule, target_fpir, None)
            strangers, own = self._searches[_evidence_rule(rule)]
            at = np.inf if terms.threshold is None else terms.threshold
            counted = own if terms.evidence.own_trials else None
            return Boundary(
                rule,
                target_fpir,
                terms.threshold,
                self._strangers[1],
                Sides.of(enrolled_trials(own, at), at, most),
                Sides.of(stranger_trials(strangers, counted, at), at, most),
            )

    def _checked(self, embeddings: Embeddings) -> Embeddings:
        return checked(
            embeddings, self._roster.references.dimension, self._roster.references.metric
        )

    def _measure_likeness(self, strangers: Embeddings) -> None:
        self._likeness = Strangers(strangers, self._score, self._roster.references.metric)
        self._own_likeness: dict[int, float] = {}  # key of a sample tried → its likeness

    def _shares(
        self,
        model: PosteriorModel | None,
        terms: Terms,
        probes: Embeddings,
        rankings: list[list[Ranked]],
        prior_known: float,
    ) -> list[list[float] | None]:
        """Return each probe's posteriors in the order of its ranking, nobody's last."""
        if not model:
            return [None] * len(rankings)
        crowd = terms.cohort.crowd
        alike = self._likeness.likeness(probes) - self._common_likeness(terms.rule)
        everybody = self._roster.scores(
            probes, self._roster.identities, _evidence_rule(terms.rule)
        )
        listed = [[each.score for each in ranking] for ranking in rankings]
        samples = self._samples_each
        return [*model.shares(listed, everybody, samples, alike, crowd, prior_known)]

    def _common_likeness(self, rule: Rule) -> float:
        """Return what likeness to strangers is common here; only new samples are looked at."""
        tried, known = self._searches[_evidence_rule(rule)][1].held_out, self._own_likeness
        new = [key for key in tried if key not in known]
        if new or len(known) > len(tried):
            found = self._likeness.likeness(self._roster.embeddings(new)).tolist() if new else []
            known = known | dict(zip(new, found, strict=True))
            known = self._own_likeness = {key: known[key] for key in tried}
        return self._likeness.common(np.array([known[key] for key in tried]))

    @property
    def _samples_each(self) -> float:
        return self.samples / self.identities

    def _worth(self, rule: Rule) -> Measured:
        """Return what was measured of this rule, or of another, which knows that it is."""
        return self._measured.get(rule) or next(iter(self._measured.values()), (None, None))

    def _why_no_posterior(self, rule: Rule) -> PosteriorReason | None:
        if not self.identities:
            return "empty-gallery"
        model = self._worth(rule)[0]
        if model is None:
            return "no-calibration"
        if len(self._strangers[0]) < _FEWEST_STRANGERS:
            return "too-few-strangers"
        return model.why_not(rule, self.identities, self._samples_each)

    def _cohort(self, strangers: BestScores, own: LeaveOneOut) -> tuple[Cohort, int, float]:
        """Return what thresholds rest on, how many own trials are in it, and their kinship."""
        return judging(strangers.values, self._groups, own.strangers, self._strangers[1])

    def _terms(self, rule: Rule, target_fpir: float | None, threshold: float | None) -> Terms:
        """Return what decides, which is the same until something changes."""
        asked = (rule, target_fpir, threshold)
        terms = self._settled.get(asked)
        if terms is None:
            if len(self._settled) >= _MOST_SETTLED:
                self._settled.clear()
            terms = self._settled[asked] = self._settle(*asked)
        return terms

    def _settle(self, rule: Rule, target_fpir: float | None, threshold: float | None) -> Terms:
        strangers, own = self._searches[_evidence_rule(rule)]
        source = self._strangers[1]
        cohort, trials, raised = self._cohort(strangers, own)
        interval = None
        if target_fpir is not None:
            interval = cohort.fpir_interval(target_fpir)  # first of all: is it resolved?
        elif threshold is not None and len(cohort):
            interval = cohort.fpir_interval_at(threshold)
        why_not = self._why_no_posterior(rule)
        if not self.identities:
            evidence = Evidence(source, len(strangers.values), 0, None)
            return Terms(rule, cohort, None, target_fpir, "empty-gallery", why_not, evidence)
        if threshold is None:
            threshold = cohort.threshold(target_fpir or DEFAULT_TARGET_FPIR)
        told_by = (
            self._worth(rule)[1],
            own.misses(threshold),
            rule,
            threshold,
            strangers.values,
            self._roster.sizes,
        )
        missed = expected_fnir(*told_by)
        between = fnir_interval(missed, *told_by)
        evidence = Evidence(source, len(strangers.values), trials, interval, raised, between)
        return Terms(rule, cohort, threshold, target_fpir, missed, why_not, evidence)

    def prepare(self, rule: Rule | None = None) -> None:
        """Search the strangers by this rule, and follow every change from now on.

        Without a rule, it is done for all that the gallery's own is chosen from. The first
        identification by a rule does so too, and waits: seconds at 100,000 references.
        """
        if not self._behind and self._searched(rule):
            return
        with self._lock.writing():
            self._catch_up()
            self._search(rule)

    def _searched(self, rule: Rule | None = None) -> bool:
        """Whether the strangers were searched by all rules that are needed, now or before."""
        return all(_evidence_rule(each) in self._searches for each in self._needed(rule))

    @contextmanager
    def _level(self, rule: Rule | None = None, *, search: bool = True) -> Iterator[None]:
        """Hold the lock for reading, with all evidence level with who is enrolled.

        Without `search` that is the evidence which there is already.
        """
        while True:
            if search:
                self.prepare(rule)
            elif self._behind:
                with self._lock.writing():
                    self._catch_up()
            with self._lock.reading():
                if not self._behind:
                    yield
                    return

    def _needed(self, rule: Rule | None) -> tuple[Rule, ...]:
        if rule is not None:
            return (rule,)
        return (self._rule, *CHOICES) if self._may_choose() else (self._rule,)

    def _search(self, rule: Rule | None) -> None:
        for each in self._needed(rule):
            kept = _evidence_rule(each)
            if kept in self._searches:
                continue
            if each == "centroid":
                self._roster.keep_centroids()
            own = LeaveOneOut(kept, self._roster.references.dimension, trials=self._trials)
            own.follow(self._roster, self._roster.identities)
            self._searches[kept] = (self._strangers_searched(kept), own)

    def _may_choose(self) -> bool:
        several = sum(count for size, count in self._roster.sizes.items() if size > 1)
        return self._choosing and several >= ENOUGH

    def _deciding(self) -> Rule:
        """Return the rule that decides where none is asked for."""
        if not self._may_choose():
            return self._rule
        if self._chosen is None:
            self._chosen = self._choice()
        return self._chosen

    def _choice(self) -> Rule:
        missed = {}
        for rule in dict.fromkeys(self._needed(None)):
            strangers, own = self._searches[_evidence_rule(rule)]
            try:
                threshold = self._cohort(strangers, own)[0].threshold(DEFAULT_TARGET_FPIR)
            except TargetUnresolvable:
                return self._rule
            missed[rule] = own.missed(threshold)
        return clearly_best(missed, self._rule)

    def _strangers_searched(self, rule: Rule) -> BestScores:
        members = self._strangers[0]
        best = BestScores(rule, self._roster.references.dimension)
        best.admit(self._roster, members, [None] * len(members))
        return best

    def _follow(self, changed: list[str]) -> None:
        """Note who has changed; where these are few, or many by now, let the evidence follow."""
        self._chosen = None
        self._settled.clear()
        if not self._searches:
            return
        self._behind.update(dict.fromkeys(changed))
        most = min(_MOST_BEHIND, len(self._roster) // _OF_WHICH)
        if len(changed) <= _FEW or len(self._behind) > most:
            self._catch_up()

    def _catch_up(self) -> None:
        """Let the evidence follow all who have changed."""
        changed = list(self._behind)
        self._behind.clear()
        if not changed:
            return
        self._chosen = self._doubtful_at = None
        self._settled.clear()
        for strangers, own in self._searches.values():
            strangers.follow(self._roster, changed)
            own.follow(self._roster, changed)
        if _evidence_rule(self._rule) in self._searches and self._may_choose():
            self._search(None)


def _by_rule(measured: Measured, others: Mapping[Rule, Measured]) -> dict[Rule, Measured]:
    known = [each.rule for each in measured if each is not None]
    return {known[0]: measured, **others} if known else dict(others)


def _evidence_rule(rule: Rule) -> Rule:
    """`knn` scores identities as `mean` does, so strangers need be searched for one of them."""
    return "mean" if rule == "knn" else rule
