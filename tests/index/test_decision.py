"""The decision as a pure function: outcomes, reasons, and what is not known."""

from dataclasses import replace

import numpy as np
import pytest

from index.cohort import Cohort
from index.decision import Evidence, Terms, decide
from index.ranking import Ranked
from index.roster import Rule

RANKING = [Ranked("ada", 0.6, 0.1), Ranked("bob", 0.3, 0.4)]


def terms(threshold: float | None = 0.5, rule: Rule = "max") -> Terms:
    cohort = Cohort(np.array([0.1, 0.7]))
    return Terms(rule, cohort, threshold, 0.4, 0.25, None, Evidence("bundle", 2, 0, (0.1, 0.9)))


@pytest.mark.parametrize(
    ("threshold", "rule", "shares", "outcome", "reason"),
    [
        (0.6, "max", None, "match", "reaches-threshold"),
        (0.6, "max", [0.1, 0.1, 0.8], "match", "reaches-threshold"),
        (0.61, "max", None, "unknown", "below-threshold"),
        (0.61, "max", [0.4, 0.2, 0.4], "unknown", "below-threshold"),
        (0.61, "max", [0.5, 0.2, 0.3], "possible", "likelier-than-unknown"),
        (0.6, "knn", None, "match", "reaches-threshold"),
        (None, "max", None, "unknown", "empty-gallery"),
    ],
)
def test_the_truth_table(threshold, rule, shares, outcome, reason):
    found = decide(terms(threshold, rule), RANKING, shares, [[], []])

    assert (found.outcome, found.reason) == (outcome, reason)
    assert found.identity == ("ada" if outcome == "match" else None)
    assert (found.score, found.p_value) == (0.6, 2 / 3)


def test_knn_names_nobody_below_a_half_whatever_the_threshold_and_the_posterior():
    low = [Ranked("ada", 0.49, 0.1)]

    found = decide(terms(0.1, "knn"), low, [0.9, 0.1], [[]])

    assert (found.outcome, found.reason) == ("unknown", "no-identity-stands")


def test_as_many_candidates_are_listed_as_have_their_samples_given():
    found = decide(terms(), RANKING, [0.5, 0.2, 0.3], [[(7, 0.6)]])

    [candidate] = found.candidates
    assert (candidate.identity, candidate.posterior) == ("ada", 0.5)
    assert candidate.samples == ((7, 0.6),)
    assert (found.posterior, found.unknown_posterior) == (0.5, 0.3)


def test_a_decision_tells_its_rule_the_runner_up_and_by_how_much_it_lost():
    found = decide(terms(rule="centroid"), RANKING, None, [[], []])
    alone = decide(terms(), RANKING[:1], None, [[]])

    assert (found.rule, found.runner_up) == ("centroid", RANKING[1].identity)
    assert found.margin == RANKING[0].score - RANKING[1].score
    assert (alone.runner_up, alone.margin) == (None, None)


def test_a_rate_that_nothing_tells_is_none_with_the_reason():
    unknown = replace(
        terms(), expected_fnir="rule-not-calibrated", posterior_reason="no-calibration"
    )

    found = decide(unknown, RANKING, None, [[], []])

    assert (found.expected_fnir, found.expected_fnir_reason) == (None, "rule-not-calibrated")
    assert (found.posterior, found.posterior_reason) == (None, "no-calibration")
    assert decide(terms(), RANKING, None, [[], []]).expected_fnir_reason is None
