"""Strangers judged by the evidence of the others, to see whether a promised FPIR is kept."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from index.cohort import Source, TargetUnresolvable
from index.decision import Outcome, Terms, decide
from index.kinship import judging
from index.ranking import Ranked
from index.roster import Scores


def judge_apart(
    terms: Terms,
    target_fpir: float,
    ranking: list[Ranked],
    strangers: Scores,
    groups: npt.NDArray[np.int64] | None,
    own: Scores,
    source: Source,
    row: int | None,
) -> Outcome:
    """Decide on a stranger, ranked afresh, as if it were not among those who judge.

    `strangers` (M,) in `groups` (M,), if any, and the gallery's own trials (T,) are the evidence
    in force; `row` is the stranger's own, None if it has none there. With it, a stranger would
    raise the threshold that it is judged by; without it, it is one more of its kind, as a probe
    is. Where the evidence is what a fresh search finds, so judged strangers keep to the target by
    construction; that they do not means that it is not, or that they are another kind than those
    who judge.
    """
    if not ranking:
        return "unknown"
    if row is not None:
        strangers = np.delete(strangers, row)
        groups = None if groups is None else np.delete(groups, row)
    cohort, _, _ = judging(strangers, groups, own, source)
    try:
        threshold = cohort.threshold(target_fpir)
    except TargetUnresolvable:
        return "unknown"
    return decide(replace(terms, cohort=cohort, threshold=threshold), ranking, None, []).outcome
