"""Strangers judged by the evidence of the others, to see whether a promised FPIR is kept."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from index.cohort import Source, TargetUnresolvable
from index.decision import Outcome, Terms, decide
from index.gallery import Embeddings
from index.grounds import Grounds
from index.kinship import judging
from index.ranking import Ranked
from index.roster import Rule, Scores


@dataclass(frozen=True, slots=True)
class Jury:
    """The evidence in force at a target, by which strangers are judged who may be in it.

    `strangers` (M,) are best scores, in `groups` (M,) if any, of who is found in `rows`, and `own`
    (T,) those of the gallery's own trials, where `highest` is the highest there can be.
    """

    terms: Terms
    target_fpir: float
    source: Source
    strangers: Scores
    groups: npt.NDArray[np.int64] | None
    own: Scores
    highest: float
    rows: dict[bytes, int]  # a stranger's embedding → its row

    @classmethod
    def of(cls, grounds: Grounds, rule: Rule, target_fpir: float) -> "Jury":
        """Return it as it is now, whatever changes later, or raise TargetUnresolvable."""
        strangers, own = grounds.searches.by(rule)
        return cls(
            grounds.terms(rule, target_fpir, None),
            target_fpir,
            grounds.source,
            strangers.values.copy(),
            grounds.groups,
            own.strangers.copy(),
            grounds.roster.highest,
            {each.tobytes(): row for row, each in enumerate(grounds.searches.strangers)},
        )

    def judge(self, stranger: Embeddings, ranking: list[Ranked]) -> Outcome:
        """Decide on a stranger (d,), ranked afresh, as if it were not among those who judge.

        With itself, a stranger would raise the threshold that it is judged by; without, it is one
        more of its kind, as a probe is. Where the evidence is what a fresh search finds, so judged
        strangers keep to the target by construction; that they do not means that it is not, or
        that they are another kind than those who judge.
        """
        if not ranking:
            return "unknown"
        strangers, groups = self.strangers, self.groups
        if (row := self.rows.get(stranger.tobytes())) is not None:
            strangers = np.delete(strangers, row)
            groups = None if groups is None else np.delete(groups, row)
        cohort, _, _ = judging(strangers, groups, self.own, self.source, self.highest)
        try:
            threshold = cohort.threshold(self.target_fpir)
        except TargetUnresolvable:
            return "unknown"
        terms = replace(self.terms, cohort=cohort, threshold=threshold)
        return decide(terms, ranking, None, []).outcome
