"""A report in the few figures that a manifest records."""

from collections.abc import Callable, Iterator

import numpy as np

from evaluation.engine import evaluate as measured
from evaluation.one_shot import TRIALS
from evaluation.one_shot import one_shot as one_shot_of
from evaluation.open_set_figures import measure_open_set
from evaluation.pair_figures import measure_pairs
from evaluation.pairs import Embedded
from evaluation.report import (
    ClusteringRow,
    Decision,
    Figure,
    OpenSetRow,
    PairSection,
    Report,
    Side,
)
from evaluation.samples import Samples, Served
from models_store.manifest import Metric

WAYS = 20
_SIZES = (20, 50, 100)
_CONTROLS: dict[Decision, str] = {
    "served": "",
    "fixed pair threshold": ", fixed pair threshold",
    "seed rule": ", seed rule",
    "tied vote": ", tied vote",
}
_UNTRAINED_SIZE = 50

Progress = Callable[[str, float], None]


def evaluate(
    embedded: Embedded, seed: int = 0, progress: Progress = lambda *_: None
) -> tuple[Metric, ...]:
    """Return every figure that these samples are enough for, each with its protocol."""
    return figures(measured(nameless(embedded), seed, progress))


def figures(report: Report) -> tuple[Metric, ...]:
    """Return a report's main figures; where there are too few to say, there is none."""
    found = (
        *_of_pairs(report.pairs),
        *(
            (f"{row.ways}-way one-shot {_where(within=row.within_groups)} groups", row.right)
            for row in report.one_shot
            if (row.ways, row.shots) == (WAYS, 1)
        ),
        *(
            (f"recall@{row.rank}{_way(row.probes)}, {row.references}", row.found)
            for row in (report.retrieval.rows if report.retrieval else ())
        ),
        *(each for row in report.open_set.rows for each in _of_open_set(row)),
        *(
            (f"ari of {row.method}{f', side {row.side}' if row.side else ''}", _with_orders(row))
            for row in report.clustering
            if row.cut_from == "other identities"
        ),
    )
    return tuple(_metric(name, figure) for name, figure in found if figure.value is not None)


def controls(untrained: Embedded, seed: int) -> Iterator[Metric]:
    """Yield the main figures of an encoder that has learnt nothing, named so."""
    samples = nameless(untrained)
    pairs = measure_pairs(untrained, seed)
    rows = measure_open_set(samples, pairs.threshold, seed, sizes=(_UNTRAINED_SIZE,)).open_set.rows
    served = [r for r in rows if (r.decision, r.strangers) == ("served", "like-cohort")]
    found = (
        *(
            _metric(name, each)
            for name, each in _of_pairs(pairs.section)
            if each.value is not None
        ),
        *one_shot(untrained, seed, within_groups=True),
        *(_metric(*each) for row in served for each in _of_open_set(row)),
    )
    for figure in found:
        yield figure.model_copy(update={"name": f"{figure.name}, untrained encoder"})


def one_shot(
    embedded: Embedded, seed: int, *, within_groups: bool, trials: int = TRIALS
) -> Iterator[Metric]:
    """Yield how often a probe is nearest to its own identity among twenty, one sample each.

    Nothing is yielded where there are too few to say.
    """
    drawn = len(np.unique(embedded.drawers)) > 1
    right = one_shot_of(
        embedded, seed, WAYS, within_groups=within_groups, drawn=drawn, trials=trials
    )
    if right.value is not None:
        yield _metric(f"{WAYS}-way one-shot {_where(within=within_groups)} groups", right)


def nameless(embedded: Embedded) -> Samples:
    """Return samples whose identities and groups are called by their numbers."""
    groups = int(embedded.groups.max()) + 1
    return Samples(
        "Evaluation",
        embedded,
        tuple(str(i) for i in range(embedded.identities)),
        Served(
            "", embedded.metric, embedded.score, np.empty((0, embedded.embeddings.shape[1]), "f4")
        ),
        groups=tuple(str(i) for i in range(groups)) if groups > 1 else None,
        drawn=len(np.unique(embedded.drawers)) > 1,
    )


def _of_pairs(pairs: PairSection) -> Iterator[tuple[str, Figure]]:
    for name in ("eer", "auc", "ece", "cllr", "min_cllr"):
        yield name, getattr(pairs, name)
    for point in pairs.operating_points:
        yield f"fnmr@fmr={point.fmr:g}", point.fnmr


def _of_open_set(row: OpenSetRow) -> Iterator[tuple[str, Figure]]:
    if row.samples == 1 and row.identities in _SIZES and row.decision in _CONTROLS:
        if row.asked not in (None, 0.05):
            return
        setting = (
            f"N={row.identities}{_way(row.probes)}, {row.strangers} strangers"
            f"{_CONTROLS[row.decision]}"
        )
        yield f"fpir@fpir=0.05, {setting}", row.fpir
        yield f"fnir@fpir=0.05, {setting}", row.fnir


def _way(probes: Side | None) -> str:
    return {None: "", "a": " a→b", "b": " b→a"}[probes]


def _with_orders(row: ClusteringRow) -> Figure:
    ari = row.agreement.ari
    low, high = row.agreement.spread
    told = (
        f"{ari.counted}, cut at {row.cut:.3f} where other identities agreed best; "
        f"{low:.3f} to {high:.3f} over {row.orders} orders"
    )
    return ari.model_copy(update={"counted": told})


def _where(*, within: bool) -> str:
    return "within" if within else "across"


def _metric(name: str, figure: Figure) -> Metric:
    if figure.value is None:
        raise ValueError(f"{name} has no value: {figure.too_few}")
    return Metric(name=name, value=figure.value, interval=figure.interval, protocol=figure.counted)
