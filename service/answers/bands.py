"""How sure an answer is, in words: what is told of a comparison where no figure is."""

from typing import Literal

from index import Identification
from service.use_cases.results import Verification

Band = Literal["certain", "likely", "possible", "no"]

EVEN_ODDS = 0.5  # the score at which same and different are as probable


def of_pair(found: Verification) -> Band:
    """Return `certain` if a match also reaches the strictest threshold that was measured.

    Another match is `likely`; short of the threshold, a pair is `possible` from a score of .5 on.
    """
    if found.match:
        strictest = max(point.threshold for point in found.comparator.manifest.operating_points)
        return "certain" if found.score >= strictest else "likely"
    return "possible" if found.score >= EVEN_ODDS else "no"


def of_decision(found: Identification) -> Band:
    """Return `certain` of a match whose p-value is the least that the cohort can tell.

    Another match is `likely`, and the outcomes `possible` and `unknown` are `possible` and `no`.
    """
    if found.outcome == "match":
        finest = 1 / (found.evidence.cohort_size + 1)
        sure = found.p_value is not None and found.p_value <= finest * (1 + 1e-9)
        return "certain" if sure else "likely"
    return "possible" if found.outcome == "possible" else "no"
