"""Candidates → a decision: match, possible or unknown, at an error rate asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from index.best_scores import BestScores
from index.cohort import Cohort, Source
from index.gallery import Embeddings, Gallery, Reference, checked
from index.leave_one_out import LeaveOneOut
from index.miss_rate import GenuineScores
from index.posterior import PosteriorModel, likeness
from index.readers_writer import ReadersWriterLock
from index.roster import STANDS, Ranked, Roster, Rule, Score, Scores

Outcome = Literal["match", "possible", "unknown"]
Reason = Literal[
    "reaches-threshold",  # match
    "likelier-than-unknown",  # possible: below the threshold, but nobody is less likely than them
    "below-threshold",  # unknown
    "no-identity-stands",  # unknown by knn: no identity has a mean score of .5
    "empty-gallery",  # unknown: nobody is enrolled
]

DEFAULT_TARGET_FPIR = 0.05
_HEAVIEST = 8.0


@dataclass(frozen=True, slots=True)
class CandidateIdentity:
    """An identity that a probe came close to, with its best references as (key, score)."""

    identity: str
    score: float
    distance: float
    posterior: float | None
    samples: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a threshold rests on: whose strangers, how many, and where its true FPIR lies.

    To the bundle's strangers are added, from 50 identities on, as many of the gallery's own as
    `own_trials` says, each searched against all others: strangers akin to the gallery. The
    `fpir_interval` covers 95 %; it is None where there is nobody to count, or nobody enrolled.
    """

    source: Source
    cohort_size: int
    own_trials: int
    fpir_interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Identification:
    """What a gallery says of one probe.

    `identity` is None unless the outcome is a match. `score` and `posterior` are the first
    candidate's whatever the outcome, and None when nobody is enrolled. `p_value` is None without
    strangers to count, `target_fpir` where a threshold was given instead, and `posterior`,
    `unknown_posterior` and `expected_fnir` are None where nothing measured says what they are.
    """

    outcome: Outcome
    identity: str | None
    score: float | None
    posterior: float | None
    unknown_posterior: float | None
    p_value: float | None
    threshold: float | None
    target_fpir: float | None
    expected_fnir: float | None
    reason: Reason
    candidates: tuple[CandidateIdentity, ...]
    evidence: Evidence


class Identifier:
    """A gallery that says who a probe is, or that it is nobody enrolled.

    `engine` makes empty galleries, `score` turns distances into scores and never rises with
    distance, and `cohort` (M, d) holds one embedding of each of M strangers. `posterior` and
    `genuine` come from the comparator's calibration. Many threads may identify while one enrolls
    or forgets: an identification sees one version of the gallery.
    """

    def __init__(
        self,
        engine: Callable[[], Gallery],
        score: Score,
        cohort: Embeddings,
        *,
        rule: Rule = "max",
        source: Source = "bundle",
        posterior: PosteriorModel | None = None,
        genuine: GenuineScores | None = None,
    ) -> None:
        self._roster = Roster(engine, score)
        self._score = score
        strangers = self._checked(cohort)
        self._strangers = (strangers, source)
        self._calibrating = (
            strangers  # stays, whoever replaces the cohort: the posterior rests on it
        )
        self._rule: Rule = rule
        self._posterior = posterior
        self._genuine = genuine
        self._searches: dict[Rule, tuple[BestScores, LeaveOneOut]] = {}
        self._lock = ReadersWriterLock()

    @property
    def identities(self) -> int:
        """How many identities are enrolled."""
        return len(self._roster)

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

    def replace_cohort(self, embeddings: Embeddings, source: Source = "gallery") -> None:
        """Judge by these strangers (M, d) from now on, or raise a BadEmbeddings."""
        strangers = self._checked(embeddings)
        with self._lock.writing():
            self._strangers = (strangers, source)
            for rule, (_, own) in self._searches.items():
                self._searches[rule] = (self._strangers_searched(rule), own)

    def enrolled(self) -> tuple[list[Reference], Embeddings]:
        """Return every reference, identity by identity, and their embeddings (n, d)."""
        with self._lock.reading():
            references = self._roster.enrolled()
            return references, self._roster.embeddings([each.key for each in references])

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
        rule = rule or self._rule
        probes = self._checked(probes)
        self.prepare(rule)
        with self._lock.reading():
            terms = self._terms(rule, target_fpir, threshold)
            model = self._covering(rule)
            rankings = self._roster.rank(probes, rule, self.identities if model else max(top, 1))
            shares = self._shares(model, probes, rankings, prior_known)
            return [
                _decide(
                    terms,
                    ranking,
                    share,
                    [
                        self._roster.sample_scores(probe, each.identity)[:k]
                        for each in ranking[:top]
                    ],
                )
                for probe, ranking, share in zip(probes, rankings, shares, strict=True)
            ]

    def _checked(self, embeddings: Embeddings) -> Embeddings:
        return checked(embeddings, self._roster.dimension, self._roster.metric)

    def _shares(
        self,
        model: PosteriorModel | None,
        probes: Embeddings,
        rankings: list[list[Ranked]],
        prior_known: float,
    ) -> list[list[float] | None]:
        """Return each probe's posteriors in the order of its ranking, nobody's last."""
        if not model:
            return [None] * len(rankings)
        alike = likeness(probes, self._calibrating, self._score, self._roster.metric)
        return [
            model.shares(ranking, self._samples_each, own, prior_known)
            for ranking, own in zip(rankings, alike.tolist(), strict=True)
        ]

    @property
    def _samples_each(self) -> float:
        return self.samples / self.identities

    def _covering(self, rule: Rule) -> PosteriorModel | None:
        """Return the posterior model if it was fitted for this rule and a gallery like this."""
        model = self._posterior
        if model and self.identities and model.covers(rule, self.identities, self._samples_each):
            return model
        return None

    def _terms(self, rule: Rule, target_fpir: float | None, threshold: float | None) -> "_Terms":
        strangers, own = self._searches[_evidence_rule(rule)]
        source = self._strangers[1]
        # Strangers of the gallery's own kind, once there are some, need nobody to stand in.
        akin = own.strangers if source == "bundle" else own.strangers[:0]
        cohort = _blended(strangers.values, akin)
        interval = None
        if target_fpir is not None:
            threshold = cohort.threshold(target_fpir)
            interval = cohort.fpir_interval(target_fpir)
        elif threshold is not None and len(cohort):
            interval = cohort.fpir_interval_at(threshold)
        if threshold is None or not self.identities:
            evidence = Evidence(source, len(strangers.values), 0, None)
            return _Terms(rule, cohort, None, target_fpir, None, evidence)
        missed = own.miss_rate(threshold)
        if missed is None and self._genuine:
            sizes = self._roster.sizes
            missed = self._genuine.miss_rate(rule, threshold, strangers.values, sizes)
        evidence = Evidence(source, len(strangers.values), len(akin), interval)
        return _Terms(rule, cohort, threshold, target_fpir, missed, evidence)

    def prepare(self, rule: Rule | None = None) -> None:
        """Search the strangers by this rule, and follow every change from now on.

        The first identification by a rule does so too, and waits: seconds at 100,000 references.
        """
        rule = rule or self._rule
        kept = _evidence_rule(rule)
        if kept in self._searches:
            return
        with self._lock.writing():
            if rule == "centroid":
                self._roster.keep_centroids()
            if kept not in self._searches:
                own = LeaveOneOut(kept, self._roster.dimension)
                own.follow(self._roster, self._roster.identities)
                self._searches[kept] = (self._strangers_searched(kept), own)

    def _strangers_searched(self, rule: Rule) -> BestScores:
        members = self._strangers[0]
        best = BestScores(rule, self._roster.dimension)
        best.admit(self._roster, members, [None] * len(members))
        return best

    def _follow(self, changed: list[str]) -> None:
        for strangers, own in self._searches.values():
            strangers.follow(self._roster, changed)
            own.follow(self._roster, changed)


def _blended(strangers: Scores, akin: Scores) -> Cohort:
    """Let the gallery's own trials weigh twice what the strangers weigh together.

    If they score alike, any weights hold the target. If only the own ones score high, strangers
    akin to the gallery are named at 1.5 times the target at most. An own trial counts as eight
    strangers at most, as more would leave few voices, and small targets unresolved.
    """
    each = min(_HEAVIEST, 2 * len(strangers) / len(akin)) if len(akin) and len(strangers) else 1.0
    weights = np.concatenate([np.ones(len(strangers)), np.full(len(akin), each)])
    return Cohort(np.concatenate([strangers, akin]), weights)


def _evidence_rule(rule: Rule) -> Rule:
    """`knn` scores identities as `mean` does, so strangers need be searched for one of them."""
    return "mean" if rule == "knn" else rule


@dataclass(frozen=True, slots=True)
class _Terms:
    """What every probe of a request is judged by; no threshold where nobody is enrolled."""

    rule: Rule
    cohort: Cohort
    threshold: float | None
    target_fpir: float | None
    expected_fnir: float | None
    evidence: Evidence


def _decide(
    terms: _Terms,
    ranking: list[Ranked],
    shares: list[float] | None,
    samples: list[list[tuple[int, float]]],
) -> Identification:
    """Decide on one probe, given who comes closest, best first, and each one's share, nobody last.

    As many candidates are listed as have their samples given.
    """
    first = ranking[0] if ranking else None
    unknown_posterior = shares[-1] if shares else None if first else 1.0
    outcome, reason = _outcome(terms, first, shares)
    cohort = terms.cohort
    return Identification(
        outcome=outcome,
        identity=first.identity if first and outcome == "match" else None,
        score=first.score if first else None,
        posterior=shares[0] if shares else None,
        unknown_posterior=unknown_posterior,
        p_value=cohort.p_value(first.score) if first and len(cohort) else None,
        threshold=terms.threshold,
        target_fpir=terms.target_fpir,
        expected_fnir=terms.expected_fnir,
        reason=reason,
        candidates=tuple(
            CandidateIdentity(
                each.identity, each.score, each.distance, shares[i] if shares else None, tuple(own)
            )
            for i, (each, own) in enumerate(zip(ranking, samples, strict=False))
        ),
        evidence=terms.evidence,
    )


def _outcome(
    terms: _Terms, first: Ranked | None, shares: list[float] | None
) -> tuple[Outcome, Reason]:
    if first is None or terms.threshold is None:
        return "unknown", "empty-gallery"
    if terms.rule == "knn" and first.score < STANDS:
        return "unknown", "no-identity-stands"
    if first.score >= terms.threshold:
        return "match", "reaches-threshold"
    if shares and shares[0] > shares[-1]:
        return "possible", "likelier-than-unknown"
    return "unknown", "below-threshold"
