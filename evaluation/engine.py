"""One evaluation: labelled samples in, a report out."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from evaluation.clusters import FEWEST as FEWEST_CLUSTERED
from evaluation.clusters import measure_clustering, measure_sides
from evaluation.intervals import ratio
from evaluation.likeness import confusions, places, similarity
from evaluation.one_shot import measure_one_shot
from evaluation.open_set_figures import OpenSetFindings, measure_open_set
from evaluation.pair_figures import PAIR_FMR, PairFindings, group_rates, measure_pairs
from evaluation.pairs import Embedded
from evaluation.recognition import measure_recognition
from evaluation.report import About, GroupRow, RecognitionSection, Report, Sides
from evaluation.retrieval import measure_retrieval
from evaluation.samples import Samples, Served
from index.gallery import Embeddings, distances

Progress = Callable[[str, float], None]

MOST_GROUPS = 50  # told of, the largest first
_STAGES = {  # what share of the time each takes, roughly
    "pairs": 0.1,
    "open set": 0.55,
    "recognition": 0.1,
    "one-shot": 0.1,
    "clustering": 0.1,
    "likeness": 0.05,
}
_ABSENT = {  # of two encoders
    "recognition": "labelled k-NN is for one encoder; retrieval and open set tell who is found",
    "one_shot": "recall at 1 is the one-shot of all identities at once",
    "places": "two encoders place their sides apart from each other: only scores compare them",
}
_SAME = 1e-4  # of the median distance: as near as rounding to half precision leaves a copy


def evaluate(samples: Samples, seed: int = 0, progress: Progress = lambda *_: None) -> Report:
    """Return what these samples say of their comparator.

    The same samples and seed give the same report. `progress` is told a stage and the share of
    the whole that is done.
    """
    stages = _Stages(progress)
    samples, warnings = _without_copies(samples)
    e = samples.embedded
    if e.of_b is not None:
        return _across(samples, seed, stages, [*warnings, *_on_one_side(e)])
    pairs = measure_pairs(e, seed, stages.of("pairs"))
    open_set = measure_open_set(samples, pairs.threshold, seed, stages.of("open set"))
    recognition = measure_recognition(samples, seed, stages.of("recognition"))
    one_shot = tuple(measure_one_shot(e, seed, grouped=_grouped(samples), drawn=samples.drawn))
    stages.of("one-shot")(1.0)
    clustering = tuple(measure_clustering(samples, seed, stages.of("clustering")))
    report = Report(
        about=_about(samples, seed, warnings),
        pairs=pairs.section,
        open_set=open_set.open_set,
        posterior=open_set.posterior,
        recognition=recognition,
        one_shot=one_shot,
        clustering=clustering,
        clustering_too_few=None
        if clustering
        else f"{e.identities} identities; {FEWEST_CLUSTERED} are needed",
        groups=tuple(_groups(samples, pairs, open_set, seed)),
        groups_too_few=None if _grouped(samples) else "no groups, or only one, were given",
        confusions=confusions(samples, pairs.walked),
        similarity=similarity(samples),
        places=places(samples, seed),
    )
    stages.of("likeness")(1.0)
    return report


def _across(samples: Samples, seed: int, stages: "_Stages", warnings: list[str]) -> Report:
    """Return what samples of two encoders say: across the sides, and of clusters on each side."""
    pairs = measure_pairs(samples.embedded, seed, stages.of("pairs"))
    open_set = measure_open_set(samples, pairs.threshold, seed, stages.of("open set"))
    retrieval = measure_retrieval(samples, seed, stages.of("recognition"))
    stages.of("one-shot")(1.0)
    clustering, left_out = measure_sides(samples, seed, stages.of("clustering"))
    report = Report(
        about=_about(samples, seed, warnings),
        pairs=pairs.section,
        open_set=open_set.open_set,
        posterior=open_set.posterior,
        recognition=RecognitionSection(
            protocol="", accuracy=(), confusion=(), too_few=_ABSENT["recognition"]
        ),
        one_shot=(),
        clustering=tuple(clustering),
        clustering_too_few="; ".join(left_out) or None,
        groups=tuple(_groups(samples, pairs, open_set, seed)),
        groups_too_few=None if _grouped(samples) else "no groups, or only one, were given",
        confusions=confusions(samples, pairs.walked),
        similarity=similarity(samples),
        places=(),
        retrieval=retrieval,
        absent=_ABSENT,
    )
    stages.of("likeness")(1.0)
    return report


class _Stages:
    """Turns the share of a stage that is done into a share of the whole."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def of(self, stage: str) -> Callable[[float], None]:
        names = list(_STAGES)
        before = sum(_STAGES[name] for name in names[: names.index(stage)])

        def told(share: float) -> None:
            self._progress(stage, min(1.0, before + share * _STAGES[stage]))

        return told


def _grouped(samples: Samples) -> bool:
    return samples.groups is not None and len(samples.groups) > 1


def _about(samples: Samples, seed: int, warnings: list[str]) -> About:
    e, served = samples.embedded, samples.served
    each = np.bincount(e.labels)
    return About(
        title=samples.title,
        bundle=served.title if served.digest else None,
        digest=served.digest,
        metric=served.metric,
        rule=served.rule,
        seed=seed,
        samples=len(e.labels),
        identities=e.identities,
        samples_each=(int(each.min()), float(np.median(each)), int(each.max())),
        groups=len(samples.groups) if samples.groups else None,
        drawers=len(np.unique(e.drawers)) if samples.drawn else None,
        warnings=tuple(warnings),
        sides=_sides(e),
    )


def _sides(e: Embedded) -> Sides | None:
    if e.of_b is None:
        return None
    a, b = (e.counts(of_b=side) for side in (False, True))
    return Sides(
        samples=(int(a.sum()), int(b.sum())),
        identities=(int((a > 0).sum()), int((b > 0).sum())),
        on_both=int(((a > 0) & (b > 0)).sum()),
    )


def _on_one_side(e: Embedded) -> Iterator[str]:
    sides = _sides(e)
    if sides is not None and (alone := e.identities - sides.on_both):
        have = "identity is" if alone == 1 else "identities are"
        yield (
            f"{alone} {have} on one side only: they count as impostors and strangers, and as "
            "others that a search has to pass by"
        )


def _without_copies(samples: Samples) -> tuple[Samples, list[str]]:
    """Return the samples, their comparator's cohort without those among it, and warnings."""
    if samples.embedded.of_b is None:
        warnings = list(_copies(samples.embedded, samples.identities))
        served, known = _without_known(samples.served, samples.embedded)
        return replace(samples, served=served), [*warnings, *known]
    a, b = samples.of_side("a"), samples.of_side("b")
    (of_a, known_a), (of_b, known_b) = (
        _without_known(each.served, each.embedded) for each in (a, b)
    )
    told = [
        f"side {side}: {warning}"
        for side, each, known in (("a", a, known_a), ("b", b, known_b))
        for warning in (*_copies(each.embedded, each.identities), *known)
    ]
    return replace(samples, served=replace(of_a, of_b=of_b)), told


def _without_known(served: Served, e: Embedded) -> tuple[Served, list[str]]:
    """Return the comparator without those of its cohort who are among the samples, and tell."""
    if not len(served.cohort) or not (known := _near(served.cohort, e)).any():
        return served, []
    warning = (
        f"{int(known.sum())} of the comparator's {len(known)} strangers are among these "
        "samples: they were left out of its cohort, and figures on people that it was "
        "calibrated on flatter"
    )
    groups = None if served.cohort_groups is None else served.cohort_groups[~known]
    return replace(served, cohort=served.cohort[~known], cohort_groups=groups), [warning]


def _near(strangers: Embeddings, e: Embedded) -> np.ndarray:
    """Return which strangers (m,) are copies of a sample."""
    some = e.embeddings[:: max(1, len(e.embeddings) // 500)]
    usual = float(np.median(distances(strangers, some, e.metric)))
    nearest = np.full(len(strangers), np.inf)
    for start in range(0, len(e.embeddings), 4096):
        far = distances(strangers, e.embeddings[start : start + 4096], e.metric)
        nearest = np.minimum(nearest, far.min(axis=1))
    return nearest <= _SAME * usual


def _copies(e: Embedded, identities: tuple[str, ...]) -> Iterator[str]:
    """Tell of equal embeddings: of one identity they flatter, of two they contradict."""
    _, where = np.unique(e.embeddings, axis=0, return_inverse=True)
    where = where.ravel()
    twice = int(len(where) - len(np.unique(where)))
    if twice:
        have = "sample has" if twice == 1 else "samples have"
        yield f"{twice} {have} the same embedding as another: copies flatter"
    pairs = np.unique(np.column_stack([where, e.labels]), axis=0)
    shared = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)
    if len(shared):
        names = [identities[i] for i in pairs[pairs[:, 0] == shared[0], 1][:2]]
        yield (
            f"{len(shared)} embeddings are labelled with two identities or more, such as "
            f"{names[0]} and {names[1]}"
        )


def _groups(
    samples: Samples, pairs: PairFindings, open_set: OpenSetFindings, seed: int
) -> Iterator[GroupRow]:
    e = samples.embedded
    if samples.groups is None or not _grouped(samples) or pairs.walked is None:
        return
    group_of = e.group_of
    sizes = np.bincount(group_of, minlength=len(samples.groups))
    largest = np.argsort(-sizes, kind="stable")[:MOST_GROUPS]
    errors, probes = open_set.by_identity
    for group in sorted(largest.tolist()):
        members = np.flatnonzero(group_of == group)
        counted = f"{samples.groups[group]}: {len(members)} identities"
        at = f"{counted}, threshold of FMR {PAIR_FMR:g} over all"
        searched = f"{counted}, {open_set.setting}, asked FPIR .05"
        fmr, fnmr = group_rates(pairs.walked.by_group, members, seed, at)
        if pairs.threshold is None:
            missing = f"all impostor pairs are too few for an FMR of {PAIR_FMR:g}"
            fmr = fnmr = fmr.model_copy(
                update={"value": None, "interval": None, "too_few": missing}
            )
        yield GroupRow(
            group=samples.groups[group],
            identities=len(members),
            samples=int((e.groups == group).sum()),
            fmr=fmr,
            fnmr=fnmr,
            fpir=ratio(errors[0, members], probes[0, members], seed, searched),
            fnir=ratio(errors[1, members], probes[1, members], seed, searched),
        )
