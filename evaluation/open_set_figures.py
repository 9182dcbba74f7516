"""Strangers named and enrolled missed by size of gallery, and whether posteriors come true."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from evaluation.intervals import ratio, resampled
from evaluation.open_set import FEWEST_STRANGERS, Flags, Rows, Trial, able, draw_trial
from evaluation.pair_counts import Progress, Reals
from evaluation.reliability import BINS, bin_of, curve, expected_error
from evaluation.report import (
    Decision,
    Figure,
    OpenSetRow,
    OpenSetSection,
    PosteriorRow,
    PosteriorSection,
    Side,
    Strangers,
)
from evaluation.samples import Samples, Served
from evaluation.seed_rule import UNKNOWN, labelled_knn, seed_rule, tied_vote
from index.cohort import Cohort, TargetUnresolvable
from index.gallery import distances
from index.identification import Identifier
from index.ranking import STANDS

SIZES = (1, 5, 20, 50, 100, 200, 400)
SAMPLES = (1, 3)
ASKED = (0.05, 0.01)
SURE = 0.9
_STATED: tuple[Literal["posterior"], Literal["raw sigmoid"]] = ("posterior", "raw sigmoid")
_GALLERIES, _PROBES = (5, 30), 200  # fewest and most galleries of a size, and enrolled in them
_STATED_PROBES = 400  # of each kind over the galleries of a size, that are asked for a posterior
_BY_GROUP = 50  # the largest size whose errors are told by group


class Setting(NamedTuple):
    """Who the strangers are, how many are enrolled with how many samples, which side asks."""

    strangers: Strangers
    identities: int
    samples: int
    probes: Side | None


@dataclass(frozen=True, slots=True)
class OpenSetFindings:
    """The sections, and errors by identity of the size that groups are judged by.

    `by_identity` (2, 2, n): errors and probes, of strangers and of the enrolled.
    """

    open_set: OpenSetSection
    posterior: PosteriorSection
    by_identity: Reals
    setting: str


def measure_open_set(
    samples: Samples,
    pair_threshold: float | None,
    seed: int,
    progress: Progress = lambda _: None,
    sizes: Sequence[int] = SIZES,
) -> OpenSetFindings:
    """Return both sections; `pair_threshold` is that of the negative control."""
    e = samples.embedded
    settings = list(_settings(samples, sizes))
    rows: list[OpenSetRow] = []
    posteriors: list[PosteriorRow] = []
    by_group: tuple[str, Reals] = ("", np.zeros((2, 2, e.identities)))
    random = np.random.default_rng(seed)
    for done, setting in enumerate(settings):
        tallies, stated, galleries = tried(samples, setting, pair_threshold, random)
        rows += _rows(tallies, setting, galleries, seed)
        if stated.sums.any():
            posteriors += posterior_rows(stated, setting, galleries, seed)
        if _tells_of_groups(setting, settings[0]):
            told = f"N = {setting.identities}, {setting.strangers} strangers"
            by_group = (told + _asked_by(setting.probes), tallies["served", 0.05].sums)
        progress((done + 1) / len(settings))
    progress(1.0)
    return OpenSetFindings(
        OpenSetSection(rows=tuple(rows), too_few=tuple(_left_out(samples, settings, sizes))),
        PosteriorSection(
            rows=tuple(posteriors), too_few=tuple(_unstated(samples, settings, posteriors))
        ),
        by_group[1],
        by_group[0],
    )


def _tells_of_groups(setting: Setting, first: Setting) -> bool:
    """Whether groups are judged by this setting, if no later one does: that of most identities."""
    return (
        (setting.strangers, setting.samples, setting.probes) == (first.strangers, 1, first.probes)
    ) and setting.identities <= _BY_GROUP


def _asked_by(probes: Side | None) -> str:
    return f", asked by side {probes}" if probes else ""


def _directions(samples: Samples) -> tuple[Side | None, ...]:
    """Return which side may ask; None where both have one encoder."""
    return (None,) if samples.embedded.of_b is None else ("a", "b")


def _kinds(samples: Samples, probes: Side | None) -> list[Strangers]:
    """Return whose strangers can be tried at all."""
    served = samples.served.probed_by(probes)
    kinds: list[Strangers] = ["like-cohort"]
    if len(served.cohort):
        kinds.insert(0, "as-served")
    if samples.groups is not None and len(samples.groups) > 1:
        kinds.append("kin")
        if served.cohort_groups is not None:
            kinds.append("one-group")
    return kinds


def _settings(samples: Samples, sizes: Sequence[int]) -> Iterator[Setting]:
    """Yield every setting that the identities are enough for."""
    for probes in _directions(samples):
        for kind in _kinds(samples, probes):
            for each in SAMPLES:
                for enrolled in sizes:
                    setting = Setting(kind, enrolled, each, probes)
                    if _drawn(samples, setting, np.random.default_rng(0)):
                        yield setting


def _drawn(samples: Samples, setting: Setting, random: np.random.Generator) -> Trial | None:
    served = samples.served.probed_by(setting.probes)
    return draw_trial(
        samples.embedded,
        setting.identities,
        setting.strangers,
        random,
        setting.samples,
        served.cohort if setting.strangers == "as-served" else None,
        by_group=served.cohort_groups is not None,
        outside_groups=served.cohort_groups,
        probes=setting.probes,
    )


def _left_out(samples: Samples, settings: list[Setting], sizes: Sequence[int]) -> Iterator[str]:
    e = samples.embedded
    for probes in _directions(samples):
        for kind in _kinds(samples, probes):
            for each in SAMPLES:
                missing = [n for n in sizes if Setting(kind, n, each, probes) not in settings]
                if missing:
                    need = missing[0] + FEWEST_STRANGERS
                    cohort = "" if kind == "as-served" else " beside a cohort of a third of all"
                    spare = int(able(e, each, probes)[1].sum())
                    have = "so many and a probe" if probes else "a sample to spare"
                    yield (
                        f"{kind} strangers, {each} enrolled of each{_asked_by(probes)}: N = "
                        f"{', '.join(map(str, missing))} would take {need} identities or more"
                        f"{cohort}, {spare} of {e.identities} have {have}"
                    )


def _unstated(
    samples: Samples, settings: list[Setting], rows: list[PosteriorRow]
) -> Iterator[str]:
    for probes in _directions(samples):
        model = samples.served.probed_by(probes).posterior
        if model is None:
            yield f"no posterior{_asked_by(probes)}: the comparator was not calibrated for one"
            continue
        asked = {(s.identities, s.samples) for s in settings if s.probes == probes}
        outside = sorted(asked - {(r.identities, r.samples) for r in rows if r.probes == probes})
        if outside:
            yield (
                f"no posterior for {', '.join(f'{n} × {m}' for n, m in outside)}"
                f"{_asked_by(probes)}: it was calibrated "
                f"for {model.identities[0]}–{model.identities[1]} identities of "
                f"{model.samples[0]:g}–{model.samples[1]:g} samples"
            )


@dataclass(slots=True)
class _Tally:
    """Errors and probes (2, 2, identities), of strangers and of the enrolled."""

    sums: Reals
    galleries: int = 0
    expected: list[float] = field(default_factory=list)

    def add(self, strangers: Rows, mated: Rows, named: Flags, missed: Flags) -> None:
        self.galleries += 1
        for role, (who, wrong) in enumerate(((strangers, named), (mated, missed))):
            np.add.at(self.sums[0, role], who, wrong)
            np.add.at(self.sums[1, role], who, 1)

    def figures(self, seed: int) -> tuple[Figure, Figure]:
        fpir, fnir = (
            ratio(
                self.sums[0, role],
                self.sums[1, role],
                seed,
                f"{int(self.sums[1, role].sum())} probes of "
                f"{int((self.sums[1, role] > 0).sum())} {who} in {self.galleries} galleries",
            )
            for role, who in enumerate(("strangers", "enrolled"))
        )
        return fpir, fnir


@dataclass(slots=True)
class Stated:
    """What was stated of first candidates and what was right.

    `sums` (2, identities, 2, 5, BINS): of posterior and raw score; known probes and strangers;
    stated, right, weight, and of those stated at 90 % or more right and weight.
    """

    sums: Reals

    def add(self, kind: int, who: Rows, role: int, stated: Reals, right: Flags) -> None:
        """Take in what was stated (n,) of probes of these identities (n,), and what was right."""
        sure = stated >= SURE
        place = bin_of(stated)
        for i, value in enumerate((stated, right, np.ones(len(who)), right & sure, sure)):
            np.add.at(self.sums[kind, :, role, i], (who, place), value)


Tallies = dict[tuple[Decision, float | None], _Tally]


def tried(
    samples: Samples,
    setting: Setting,
    pair_threshold: float | None,
    random: np.random.Generator,
) -> tuple[Tallies, Stated, int]:
    """Return errors by way of deciding, and what was stated, over galleries of one setting."""
    identities = samples.embedded.identities
    tallies: Tallies = {}
    stated = Stated(np.zeros((2, identities, 2, 5, BINS)))
    fewest, most = _GALLERIES
    galleries = int(np.clip(_PROBES // setting.identities, fewest, most))
    served = samples.served.probed_by(setting.probes)
    for _ in range(galleries):
        trial = _drawn(samples, setting, random)
        if trial is None:  # a draw of groups may leave too few
            continue
        searched = _Searched.of(trial, served)
        for key, named in searched.decisions(pair_threshold):
            tally = tallies.setdefault(key, _Tally(np.zeros((2, 2, identities))))
            tally.add(*searched.who, *searched.errors(named))
        for asked in ASKED:
            expected = searched.expected_fnir(asked)
            if expected is not None:
                tallies["served", asked].expected.append(expected)
        searched.state(stated, -(-_STATED_PROBES // galleries))
    return tallies, stated, galleries


@dataclass(frozen=True, slots=True)
class _Searched:
    """A trial's probes searched in its gallery, strangers first.

    `scores` (p, n) are of each enrolled identity by the rule, `enrolled` (n,) whom they are of,
    `first` (p,) the first candidate's place and `best` (p,) its score, minus infinity where the
    rule lets nobody stand.
    """

    trial: Trial
    served: Served
    identifier: Identifier
    scores: Reals
    enrolled: Rows
    first: Rows
    best: Reals
    cohort_best: Reals
    others: dict[Decision, Rows]

    @classmethod
    def of(cls, trial: Trial, served: Served) -> "_Searched":
        e, rule = trial.embedded, served.rule
        roster = trial.roster(rule)
        names = roster.identities
        enrolled = np.array(names, np.int64)
        probes = e.embeddings[trial.probes]
        owners = e.labels[trial.references]
        far = distances(probes, e.embeddings[trial.references], e.metric)
        scores = roster.scores(probes, names, rule)
        first = scores.argmax(axis=1)
        best = scores[np.arange(len(scores)), first]
        if rule == "knn":
            voted = labelled_knn(far, e.score, owners)
            known = voted != UNKNOWN
            place = np.argsort(enrolled)
            first[known] = place[np.searchsorted(enrolled, voted[known], sorter=place)]
            best = np.where(known, scores[np.arange(len(scores)), first], -np.inf)
        return cls(
            trial,
            served,
            trial.identifier(rule, served.posterior, served.genuine),
            scores,
            enrolled,
            first,
            best,
            roster.scores(trial.cohort_embeddings, names, rule).max(axis=1),
            {
                "seed rule": seed_rule(far, e.score, owners),
                "tied vote": tied_vote(far, owners),
            },
        )

    @property
    def who(self) -> tuple[Rows, Rows]:
        """Whom strangers' and mated probes are of."""
        labels = self.trial.embedded.labels
        return labels[self.trial.strangers], labels[self.trial.mated]

    def errors(self, named: Rows) -> tuple[Flags, Flags]:
        """Return which strangers are named, and which mated probes are not named rightly."""
        split = len(self.trial.strangers)
        return named[:split] != UNKNOWN, named[split:] != self.who[1]

    def decisions(
        self, pair_threshold: float | None
    ) -> Iterator[tuple[tuple[Decision, float | None], Rows]]:
        """Yield each way of deciding and whom it names (p,), -1 for nobody."""
        for asked in ASKED:
            served = self.identifier.threshold(asked)
            if served is not None:
                yield ("served", asked), self._named(served)
                alone = _alone(self.cohort_best, asked)
                if alone is not None:
                    yield ("cohort alone", asked), self._named(alone)
            yield ("oracle", asked), self._named(self._oracle(asked))
        if pair_threshold is not None:
            yield ("fixed pair threshold", None), self._named(pair_threshold)
        yield ("raw sigmoid", None), self._named(STANDS)
        for decision, named in self.others.items():
            yield (decision, None), named

    def expected_fnir(self, asked: float) -> float | None:
        """Return what an answer would state of this gallery."""
        if self.identifier.threshold(asked) is None:
            return None
        probe = self.trial.embedded.embeddings[self.trial.probes[:1]]
        [answer] = self.identifier.identify(probe, target_fpir=asked, top=1, k=1)
        return answer.expected_fnir

    def state(self, stated: Stated, most: int) -> None:
        """Add what is stated of up to `most` known probes and as many strangers."""
        if self.served.posterior is None:
            return
        e, split = self.trial.embedded, len(self.trial.strangers)
        for role, rows in enumerate((self.trial.probes[split:], self.trial.probes[:split])):
            some = rows[:: -(-len(rows) // most)]
            answers = self.identifier.identify(e.embeddings[some], top=1, k=1)
            posteriors = [answer.posterior for answer in answers]
            if None in posteriors:  # not calibrated for such a gallery
                return
            who = e.labels[some]
            named = np.array([int(answer.candidates[0].identity) for answer in answers])
            scores = np.array([answer.score for answer in answers], np.float64)
            for kind, value in enumerate((np.array(posteriors, np.float64), scores)):
                stated.add(kind, who, role, value, named == who)

    def _named(self, threshold: float) -> Rows:
        return np.where(self.best >= threshold, self.enrolled[self.first], UNKNOWN)

    def _oracle(self, asked: float) -> float:
        falling = np.sort(self.best[: len(self.trial.strangers)])[::-1]
        return float(np.nextafter(falling[int(asked * len(falling))], np.inf))


def _alone(best: Reals, asked: float) -> float | None:
    try:
        return Cohort(best).threshold(asked)
    except TargetUnresolvable:
        return None


def _rows(tallies: Tallies, setting: Setting, galleries: int, seed: int) -> Iterator[OpenSetRow]:
    figures = {key: tally.figures(seed) for key, tally in tallies.items()}
    for (decision, asked), (fpir, fnir) in figures.items():
        least = figures["oracle", asked][1].value if asked else None
        expected = tallies[decision, asked].expected
        yield OpenSetRow(
            **setting._asdict(),
            decision=decision,
            asked=asked,
            galleries=tallies[decision, asked].galleries,
            fpir=fpir,
            fnir=fnir,
            price=fnir.value / least if fnir.value is not None and least else None,
            expected_fnir=float(np.mean(expected)) if expected else None,
        )


def posterior_rows(
    stated: Stated, setting: Setting, galleries: int, seed: int
) -> Iterator[PosteriorRow]:
    """Yield how far what was stated comes true: of the posterior, and of the raw score."""
    for sums, name in zip(stated.sums, _STATED, strict=True):
        probes = [int(sums[:, role, 2].sum()) for role in (0, 1)]
        counted = f"{probes[0]} enrolled and {probes[1]} strangers, weighed alike"
        halves = _halves(sums.sum(axis=0)[None])[0]
        weight = float(halves[4].sum())
        sure = resampled(sums, _share_right, seed, counted)
        if weight < 0.01:
            told = f"{weight:.2%} of answers are stated at {SURE:.0%} or more"
            sure = Figure(counted=counted, too_few=told)
        yield PosteriorRow(
            **setting._asdict(),
            stated=name,
            ece=resampled(
                sums, lambda s: expected_error(*_halves(s)[:, :3].swapaxes(0, 1)), seed, counted
            ),
            sure=sure,
            sure_share=weight,
            reliability=curve(*halves[:3]),
        )


def _halves(sums: Reals) -> Reals:
    """Weigh known probes and strangers alike: (…, 2, 5, BINS) → (…, 5, BINS), weights sum to 1."""
    weight = sums[..., 2, :].sum(axis=-1)[..., None, None]
    halves: Reals = (sums / np.maximum(weight, 1) / 2).sum(axis=-3)
    return halves


def _share_right(sums: Reals) -> Reals:
    halves = _halves(sums)
    right: Reals = halves[..., 3, :].sum(-1) / np.maximum(halves[..., 4, :].sum(-1), 1e-12)
    return right
