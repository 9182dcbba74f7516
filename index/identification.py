"""Who is it? A gallery with all that its answers rest on."""

from collections.abc import Callable, Sequence

import numpy as np

from index.best_scores import BestScores
from index.cohort import Cohort, Source, TargetUnresolvable
from index.decision import Evidence, Identification, Terms, decide
from index.gallery import Embeddings, Gallery, Reference, checked
from index.leave_one_out import LeaveOneOut
from index.miss_rate import GenuineScores
from index.posterior import PosteriorModel, likeness
from index.ranking import Ranked, rank
from index.readers_writer import ReadersWriterLock
from index.roster import Roster, Rule, Score, Scores

DEFAULT_TARGET_FPIR = 0.05
_RESOLVED = 0.01


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
        self._calibrating = strangers  # stays when the cohort is replaced: posteriors rest on it
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
            rankings = rank(self._roster, probes, rule, self.identities if model else max(top, 1))
            shares = self._shares(model, probes, rankings, prior_known)
            return [
                decide(
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

    def threshold(self, target_fpir: float) -> float | None:
        """Return the score that a match needs now; None if nobody is enrolled or it is unknown."""
        self.prepare()
        with self._lock.reading():
            try:
                return self._terms(self._rule, target_fpir, None).threshold
            except TargetUnresolvable:
                return None

    def _checked(self, embeddings: Embeddings) -> Embeddings:
        return checked(
            embeddings, self._roster.references.dimension, self._roster.references.metric
        )

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
        alike = likeness(probes, self._calibrating, self._score, self._roster.references.metric)
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

    def _terms(self, rule: Rule, target_fpir: float | None, threshold: float | None) -> Terms:
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
            return Terms(rule, cohort, None, target_fpir, None, evidence)
        missed = own.miss_rate(threshold)
        if missed is None and self._genuine:
            sizes = self._roster.sizes
            missed = self._genuine.miss_rate(rule, threshold, strangers.values, sizes)
        evidence = Evidence(source, len(strangers.values), len(akin), interval)
        return Terms(rule, cohort, threshold, target_fpir, missed, evidence)

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
                own = LeaveOneOut(kept, self._roster.references.dimension)
                own.follow(self._roster, self._roster.identities)
                self._searches[kept] = (self._strangers_searched(kept), own)

    def _strangers_searched(self, rule: Rule) -> BestScores:
        members = self._strangers[0]
        best = BestScores(rule, self._roster.references.dimension)
        best.admit(self._roster, members, [None] * len(members))
        return best

    def _follow(self, changed: list[str]) -> None:
        for strangers, own in self._searches.values():
            strangers.follow(self._roster, changed)
            own.follow(self._roster, changed)


def _blended(strangers: Scores, akin: Scores) -> Cohort:
    """Let the gallery's own trials weigh up to twice what the strangers weigh together.

    If they score alike, any weights hold the target. If only the own ones score high, strangers
    akin to the gallery are named at 1.5 times the target at most, once there are enough trials to
    reach that weight.
    """
    weights = np.ones(len(strangers) + len(akin))
    weights[len(strangers) :] = _weight(len(strangers), len(akin))
    return Cohort(np.concatenate([strangers, akin]), weights)


def _weight(strangers: int, akin: int) -> float:
    """Return how many strangers one of the gallery's own trials counts as.

    A probe counts as much as the heaviest voice, so heavy ones would leave small targets
    unresolved: a target of 1 % that the strangers resolve alone is not lost.
    """
    if not strangers or not akin:
        return 1.0
    room = 1 - _RESOLVED * (akin + 1)
    heaviest = (1 - 1e-9) * _RESOLVED * strangers / room if room > 0 else np.inf
    return max(1.0, min(heaviest, 2 * strangers / akin))


def _evidence_rule(rule: Rule) -> Rule:
    """`knn` scores identities as `mean` does, so strangers need be searched for one of them."""
    return "mean" if rule == "knn" else rule
