"""Who is it? A gallery that answers, each time by one version of itself."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain

import numpy as np
import numpy.typing as npt

from index.boundary import Boundary
from index.canaries import Jury
from index.cohort import Source, TargetUnresolvable
from index.decision import Identification, Outcome, decide
from index.doubts import MOST_KNOWN, Doubt, Doubts, doubts_of_each, doubts_together
from index.frozen import Frozen
from index.gallery import Embeddings, Gallery, Reference, UnknownKey, checked
from index.grounds import DEFAULT_TARGET_FPIR, Grounds, Measured, by_rule
from index.miss_rate import GenuineScores
from index.mistakable import LeftOut, left_out
from index.operating_curve import OperatingCurve
from index.posterior import PosteriorModel
from index.ranking import Ranked, rank
from index.readers_writer import ReadersWriterLock
from index.rejections import rejected
from index.roster import Roster, Rule, Score
from index.searches import searched_as


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
        self._grounds = Grounds(
            self._roster,
            self._checked(cohort),
            source,
            cohort_groups,
            by_rule((posterior, genuine), others or {}),
            rule,
            choosing=choosing,
            own_trials=own_trials,
        )
        self._rejections: dict[str, Embeddings] = {}
        self._lock = ReadersWriterLock()

    @property
    def identities(self) -> int:
        """How many identities are enrolled."""
        return len(self._roster)

    @property
    def samples(self) -> int:
        """How many references are enrolled."""
        return self._roster.samples

    @property
    def recall(self) -> float:
        """The share of the ten nearest that searches find, when last measured; exact is 1."""
        return self._roster.recall

    def knows(self, identities: Iterable[str]) -> bool:
        """Whether all of these are enrolled."""
        with self._lock.reading():
            return all(identity in self._roster for identity in identities)

    def enroll(self, references: Sequence[Reference], embeddings: Embeddings) -> None:
        """Take in references with their embeddings (n, d), or raise as `Gallery.add` does."""
        with self._lock.writing():
            self._grounds.follow(self._roster.enroll(references, embeddings))

    def forget(self, keys: Sequence[int]) -> None:
        """Drop references, and identities with none left, or raise UnknownKey."""
        with self._lock.writing():
            self._grounds.follow(self._roster.forget(keys), keys)

    def change(
        self, gone: Sequence[int], references: Sequence[Reference], embeddings: Embeddings
    ) -> None:
        """Drop references and take in others (n, d) at once, which may have keys of those dropped.

        Nobody is asked in between: who is renamed is never seen to be gone.
        """
        with self._lock.writing():
            changed = self._roster.forget(gone) if gone else []
            try:
                if references:
                    changed += self._roster.enroll(references, embeddings)
            finally:
                self._grounds.follow(list(dict.fromkeys(changed)), gone)

    def decide_by(self, rule: Rule, choosing: bool) -> None:  # noqa: FBT001 - called in a thread
        """Decide by this rule from now on; with `choosing`, by the one that misses fewest."""
        with self._lock.writing():
            self._grounds.decide_by(rule, choosing=choosing)
        self.prepare()

    def reject(self, rejections: Mapping[str, Embeddings]) -> None:
        """Have these probes (m, d) be none of each identity from now on, nor their like."""
        with self._lock.writing():
            self._rejections = dict(rejections)

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
            self._grounds.replace_strangers(strangers, source, cohort_groups, measured)

    def enrolled(self) -> tuple[list[Reference], Embeddings]:
        """Return every reference, identity by identity, and their embeddings (n, d)."""
        with self._lock.reading():
            references = self._roster.enrolled()
            return references, self._roster.embeddings([each.key for each in references])

    def freeze(self) -> Frozen:
        """Return all that is held, as arrays that no later change touches."""
        with self._caught_up():
            roster = self._roster
            keys = list(chain.from_iterable(roster.keys.values()))
            return Frozen(
                identities=roster.identities,
                counts=np.array([len(each) for each in roster.keys.values()], np.int64),
                keys=np.array(keys, np.int64),
                embeddings=roster.embeddings(keys),
                centroids=roster.all_centroids(),
                searches=self._grounds.searches.freeze(),
            )

    def thaw(self, frozen: Frozen, *, searched: bool) -> None:
        """Take up what `freeze` gave where nobody is enrolled yet; of arrays see `Gallery.fill`.

        With `searched` also what was found by searching: only for the same strangers, compared in
        the same way.
        """
        with self._lock.writing():
            self._roster.fill(frozen.identities, frozen.counts, frozen.keys, frozen.embeddings)
            self._grounds.follow([])
            if not searched:
                return
            if frozen.centroids is not None:
                self._roster.fill_centroids(frozen.centroids)
            self._grounds.searches.thaw(frozen.searches, frozen.identities)

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
        with self._level(rule) as decides:
            terms = self._grounds.terms(decides, target_fpir, threshold)
            rankings = rank(self._roster, probes, decides, max(top, 2))
            shares = self._grounds.shares(terms, probes, rankings, prior_known)
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
        if not self._grounds.own_trials:
            return Doubts.none(len(samples))
        with self._searched():
            return doubts_together(self._grounds, identity, samples)

    def doubts_of_each(
        self, identities: Sequence[str], samples: Embeddings, *, others: bool = True
    ) -> list[Doubt | None]:
        """Say what is odd about samples (n, d), each about to be enrolled under an identity alone.

        Unless `others` are looked for whom it would be named as, that is only whether it is like
        its own. The evidence may be a few changes behind.
        """
        samples = self._checked(samples)
        if not self._grounds.own_trials:
            return [None] * len(samples)
        with self._searched() if others else self._lock.reading():
            return doubts_of_each(self._grounds, identities, samples, others=others)

    def threshold(self, target_fpir: float) -> float | None:
        """Return the score that a match needs now; None if nobody is enrolled or it is unknown."""
        with self._level() as rule:
            try:
                return self._grounds.terms(rule, target_fpir, None).threshold
            except TargetUnresolvable:
                return None

    def deciding(self) -> Rule:
        """Return the rule that decides now, where none is asked for."""
        with self._level() as rule:
            return rule

    def similar(self, identity: str, top: int) -> list[tuple[str, float]]:
        """Return who is most like an identity: others, each with the best score of its samples.

        Nobody is where references are not compared with each other, or the identity has none.
        """
        with self._level() as rule:
            keys = self._roster.keys.get(identity, [])[-MOST_KNOWN:]
            if not self._grounds.own_trials or not keys:
                return []
            probes = self._roster.embeddings(keys)
            best: dict[str, float] = {}
            for ranking in rank(self._roster, probes, rule, top + 1):
                for each in ranking:
                    if each.identity != identity:
                        best[each.identity] = max(each.score, best.get(each.identity, 0.0))
            return sorted(best.items(), key=lambda found: (-found[1], found[0]))[:top]

    def left_out(self, keys: Sequence[int], threshold: float) -> list[LeftOut] | None:
        """Say what samples would be named as, were each a probe and not enrolled.

        None where the gallery is not tried against itself. Raises UnknownKey.
        """
        if not self._grounds.own_trials:
            return None
        with self._level() as rule:
            if unknown := [key for key in keys if key not in self._roster.owner]:
                raise UnknownKey(f"key {unknown[0]} is not enrolled")
            return left_out(self._roster, keys, searched_as(rule), threshold)

    def judged_apart(self, strangers: Embeddings, target_fpir: float) -> list[Outcome]:
        """Say what becomes of strangers (n, d), none of whom bears witness in its own case.

        They are searched for anew, and each is judged by the evidence in force without itself,
        if it is in there. Where leaving it out resolves the target no more, nobody would be
        named. Raises TargetUnresolvable where all the evidence does not resolve it.
        """
        strangers = self._checked(strangers)
        with self._level() as rule:
            jury = Jury.of(self._grounds, rule, target_fpir)
            rankings = rank(self._roster, strangers, rule, 2)
        return list(map(jury.judge, strangers, rankings))

    def tried(self) -> Embeddings:
        """Return the samples (T, d) that the gallery is tried with, one of an identity."""
        with self._level() as rule:
            return self._roster.embeddings(self._grounds.searches.by(rule)[1].held_out)

    def operating_curve(self, targets: Iterable[float]) -> OperatingCurve:
        """Return what identifying at each of these targets would rest on and cost now."""
        with self._level() as rule:
            return OperatingCurve.of(self._grounds, rule, targets)

    def boundary(self, target_fpir: float, most: int) -> Boundary:
        """Return who comes nearest to the threshold of a target now, `most` on either side of it.

        Those are the trials that the threshold and its rates rest on. Raises TargetUnresolvable.
        """
        with self._level() as rule:
            return Boundary.of(self._grounds, rule, target_fpir, most)

    def prepare(self, rule: Rule | None = None) -> None:
        """Search the strangers by this rule, and follow every change from now on.

        Without a rule, it is done for all that the gallery's own is chosen from. The first
        identification by a rule does so too, and waits: seconds at 100,000 references.
        """
        with self._level(rule):
            pass

    @contextmanager
    def _level(self, rule: Rule | None = None) -> Iterator[Rule]:
        """Hold the lock for reading; what answers rest on is level with who is enrolled.

        Gives the rule that decides: this one, if one is asked for.
        """
        grounds = self._grounds
        with self._reading(lambda: grounds.level(rule), lambda: grounds.make_level(rule)):
            yield rule or grounds.deciding()

    def _searched(self) -> AbstractContextManager[None]:
        """Hold the lock for reading; what answers rest on may be a few changes behind."""
        grounds = self._grounds
        return self._reading(lambda: grounds.searched(None), lambda: grounds.make_level(None))

    def _caught_up(self) -> AbstractContextManager[None]:
        """Hold the lock for reading; whatever was searched already is level."""
        grounds = self._grounds
        return self._reading(lambda: not grounds.searches.behind, grounds.catch_up)

    @contextmanager
    def _reading(self, ready: Callable[[], bool], prepare: Callable[[], None]) -> Iterator[None]:
        """Hold the lock for reading with what is needed ready; to make it so takes writing."""
        with self._lock.reading():
            if ready():
                yield
                return
        with self._lock.reading_after(prepare):
            yield

    def _checked(self, embeddings: Embeddings) -> Embeddings:
        return checked(
            embeddings, self._roster.references.dimension, self._roster.references.metric
        )

    def _is_rejected(self, probe: Embeddings, ranking: list[Ranked]) -> bool:
        """Whether a probe (d,) is more like what was not its first candidate than like them."""
        probes = self._rejections.get(ranking[0].identity) if ranking else None
        if probes is None:
            return False
        own = self._roster.embeddings(self._roster.keys[ranking[0].identity])
        return rejected(probe, own, probes, self._roster.references.metric)
