"""Candidates → a decision: match, possible or unknown."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from index.cohort import Cohort, Promised, Source, promised
from index.miss_rate import MissReason
from index.posterior import PosteriorReason
from index.ranking import STANDS, Ranked
from index.roster import Rule

Outcome = Literal["match", "possible", "unknown"]
Reason = Literal[
    "reaches-threshold",  # match
    "likelier-than-unknown",  # possible: below the threshold, but nobody is less likely than them
    "below-threshold",  # unknown
    "no-identity-stands",  # unknown by knn: no identity has a mean score of .5
    "empty-gallery",  # unknown: nobody is enrolled
    "rejected-before",  # unknown: of a probe like this one it was said that it is not them
]


class CandidateIdentity(NamedTuple):
    """An identity that a probe came close to, with its best references as (key, score)."""

    identity: str
    score: float
    distance: float
    posterior: float | None
    samples: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a threshold rests on: whose strangers, how many, and where its true FPIR lies.

    To the bundle's strangers are added, from 10 identities on, as many of the gallery's own as
    `own_trials` says, each searched against all others: strangers akin to the gallery. By
    `kinship`, in log odds, the bundle's strangers were raised to score as those do. The
    `fpir_interval` covers 95 %; it is None where there is nobody to count, or nobody enrolled. So
    does the `fnir_interval`, of the identities' own samples left out, of which it takes 10.
    Posteriors were fitted to samples of the `calibration`; None where there are none.
    """

    source: Source
    cohort_size: int
    own_trials: int
    fpir_interval: tuple[float, float] | None
    kinship: float = 0.0
    fnir_interval: tuple[float, float] | None = None
    calibration: Source | None = None

    @property
    def holds_for(self) -> Promised:
        """Which strangers the target and its interval speak of."""
        return promised(self.source, self.own_trials)


@dataclass(frozen=True, slots=True)
class Identification:
    """What a gallery says of one probe.

    `identity` is None unless the outcome is a match. `score` and `posterior` are the first
    candidate's whatever the outcome, and None when nobody is enrolled. `runner_up` is the second
    identity's name, by whose score the first leads by `margin`; None if there is no second.
    `p_value` is None without strangers to count, `target_fpir` where a threshold was given
    instead. `posterior`, `unknown_posterior` and `expected_fnir` are None where nothing measured
    says what they are, and `posterior_reason` and `expected_fnir_reason` say why. `rule` scored
    the identities.
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
    rule: Rule
    runner_up: str | None
    margin: float | None
    posterior_reason: PosteriorReason | None
    expected_fnir_reason: MissReason | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What every probe of a request is judged by; no threshold where nobody is enrolled.

    `expected_fnir` is a rate, or why none is known. `likeness` to strangers is common here, and
    is counted from in posteriors, if there are any.
    """

    rule: Rule
    cohort: Cohort
    threshold: float | None
    target_fpir: float | None
    expected_fnir: float | MissReason
    posterior_reason: PosteriorReason | None
    evidence: Evidence
    likeness: float = 0.0


def decide(
    terms: Terms,
    ranking: list[Ranked],
    shares: list[float] | None,
    samples: list[list[tuple[int, float]]],
    *,
    rejected: bool = False,
) -> Identification:
    """Decide on one probe, given who comes closest, best first, and each one's share, nobody last.

    As many candidates are listed as have their samples given. The first is not named if it is
    `rejected`; neither is the second then, who is less alike.
    """
    first = ranking[0] if ranking else None
    second = ranking[1] if len(ranking) > 1 else None
    missed = terms.expected_fnir
    unknown_posterior = shares[-1] if shares else None if first else 1.0
    outcome, reason = _outcome(terms, first, shares)
    if rejected and outcome != "unknown":
        outcome, reason = "unknown", "rejected-before"
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
        expected_fnir=None if isinstance(missed, str) else missed,
        reason=reason,
        candidates=tuple(
            CandidateIdentity(
                each.identity, each.score, each.distance, shares[i] if shares else None, tuple(own)
            )
            for i, (each, own) in enumerate(zip(ranking, samples, strict=False))
        ),
        evidence=terms.evidence,
        rule=terms.rule,
        runner_up=second.identity if second else None,
        margin=first.score - second.score if first and second else None,
        posterior_reason=terms.posterior_reason,
        expected_fnir_reason=missed if isinstance(missed, str) else None,
    )


def _outcome(
    terms: Terms, first: Ranked | None, shares: list[float] | None
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
