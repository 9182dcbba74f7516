"""What a comparator can do on identities it never saw: figures with intervals by identity."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from evaluation.calibration import (
    CLUSTERED_IDENTITIES,
    CLUSTERED_SAMPLES,
    Method,
    agreement,
    best_cut,
    some_rows,
)
from evaluation.open_set import Strangers, draw_trial, pair_threshold
from evaluation.pairs import Embedded, all_pairs, bootstrap_pairs, ratio_interval
from index.gallery import distances
from models_store.manifest import Metric

TARGET_FPIR = 0.05
PAIR_FMR = 0.01  # of the negative control: what rivals tell their users to set

Progress = Callable[[range], Iterable[int]]


def evaluate(embedded: Embedded, seed: int = 0, progress: Progress = iter) -> tuple[Metric, ...]:
    """Return every figure that these samples are enough for, each with its protocol."""
    return (
        *pair_figures(embedded, seed),
        *one_shot(embedded, seed, within_groups=True),
        *one_shot(embedded, seed, within_groups=False),
        *(
            figure
            for enrolled in (20, 50, 100)
            for strangers in ("like-cohort", "kin")
            for figure in open_set(embedded, enrolled, strangers, seed, progress=progress)
        ),
        *clustering(embedded, seed, progress=progress),
    )


def controls(untrained: Embedded, seed: int) -> Iterator[Metric]:
    """Yield the main figures of an encoder that has learnt nothing, named so."""
    for figure in (
        *pair_figures(untrained, seed),
        *one_shot(untrained, seed, within_groups=True),
        *open_set(untrained, 50, "like-cohort", seed),
    ):
        yield figure.model_copy(update={"name": f"{figure.name}, untrained encoder"})


def pair_figures(embedded: Embedded, seed: int) -> Iterator[Metric]:
    """Yield EER, AUC and FNMR at three FMRs over all pairs of samples."""
    pairs = all_pairs(embedded)
    spread = bootstrap_pairs(embedded, pairs, seed)
    who = (
        f"all pairs of {len(embedded.labels)} samples of {embedded.identities} identities: "
        f"{len(pairs.genuine)} genuine, {len(pairs.impostor)} impostor"
    )
    eer, auc = pairs.equal_error_rate(), pairs.area_under_curve()
    yield Metric(name="eer", value=eer, interval=spread.equal_error_rate(), protocol=who)
    yield Metric(name="auc", value=auc, protocol=who)
    for fmr in (1e-2, 1e-3, 1e-4):
        if fmr * len(pairs.impostor) >= 10:  # fewer impostor pairs are too few to say
            fnmr = pairs.fnmr(pairs.threshold_at(fmr))
            yield Metric(
                name=f"fnmr@fmr={fmr:g}", value=fnmr, interval=spread.fnmr_at(fmr), protocol=who
            )


def one_shot(
    embedded: Embedded, seed: int, *, within_groups: bool, ways: int = 20, trials: int = 1000
) -> Iterator[Metric]:
    """Yield how often a probe is nearest to its own identity among `ways`, one sample each.

    In each trial one drawer made all the references and another all the probes, one for each
    identity. Groups with fewer than `ways` identities are left out; nothing is yielded if
    nothing is left.
    """
    random = np.random.default_rng(seed)
    row = {key: i for i, key in enumerate(zip(embedded.labels, embedded.drawers, strict=True))}
    drawers = np.unique(embedded.drawers)
    groups = embedded.group_of if within_groups else np.zeros(embedded.identities, np.int64)
    pools = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    pools = [pool for pool in pools if len(pool) >= ways]
    hits, counts = np.zeros(embedded.identities), np.zeros(embedded.identities)
    for trial in range(trials if pools and len(drawers) > 1 else 0):
        identities = random.permutation(pools[trial % len(pools)])[:ways]
        a, b = random.choice(drawers, 2, replace=False)
        if not all((i, drawer) in row for i in identities for drawer in (a, b)):
            continue
        references = embedded.embeddings[[row[i, a] for i in identities]]
        probes = embedded.embeddings[[row[i, b] for i in identities]]
        nearest = distances(probes, references, embedded.metric).argmin(axis=1)
        hits[identities] += nearest == np.arange(ways)
        counts[identities] += 1
    if counts.any():
        where = f"within one of {len(pools)} groups" if within_groups else "across groups"
        yield Metric(
            name=f"{ways}-way one-shot {where.split()[0]} groups",
            value=hits.sum() / counts.sum(),
            interval=ratio_interval(hits, counts, seed),
            protocol=f"{int(counts.sum()) // ways} trials {where}; "
            "references by one drawer, probes by another",
        )


def open_set(
    embedded: Embedded,
    enrolled: int,
    strangers: Strangers,
    seed: int,
    *,
    trials: int = 12,
    progress: Progress = iter,
) -> Iterator[Metric]:
    """Yield FPIR and FNIR at the cohort's threshold, and at a fixed pair threshold beside it.

    Trials are those of `draw_trial`; a trial that needs more identities than there are yields
    nothing.
    """
    random = np.random.default_rng(seed)
    tallies = {control: _Tally(embedded.identities) for control in ("", ", fixed pair threshold")}
    for _ in progress(range(trials)):
        if (trial := draw_trial(embedded, enrolled, strangers, random)) is None:
            continue
        fixed = pair_threshold(embedded, embedded.labels[trial.cohort], PAIR_FMR)
        labels = embedded.labels[trial.strangers], embedded.labels[trial.mated]
        for tally, errors in zip(
            tallies.values(),
            (trial.errors(target_fpir=TARGET_FPIR), trial.errors(threshold=fixed)),
            strict=True,
        ):
            tally.add(labels, errors)
    for control, tally in tallies.items():
        if tally.trials:
            yield from tally.figures(
                f"N={enrolled}, {strangers} strangers{control}",
                f"{tally.trials} galleries of {enrolled} identities with one sample each; a third "
                "of the identities is the cohort, the rest are strangers",
                seed,
            )


class _Tally:
    """Errors and probes of each identity, as a stranger and as somebody enrolled."""

    def __init__(self, identities: int) -> None:
        self.trials = 0
        self._errors = np.zeros((2, identities))
        self._probes = np.zeros((2, identities))

    def add(self, labels: Iterable[np.ndarray], errors: Iterable[np.ndarray]) -> None:
        self.trials += 1
        for role, (who, wrong) in enumerate(zip(labels, errors, strict=True)):
            np.add.at(self._errors[role], who, wrong)
            np.add.at(self._probes[role], who, 1)

    def figures(self, setting: str, protocol: str, seed: int) -> Iterator[Metric]:
        for role, name in enumerate(("fpir", "fnir")):
            errors, probes = self._errors[role], self._probes[role]
            yield Metric(
                name=f"{name}@fpir={TARGET_FPIR:g}, {setting}",
                value=errors.sum() / probes.sum(),
                interval=ratio_interval(errors, probes, seed),
                protocol=protocol,
            )


def clustering(
    embedded: Embedded, seed: int, *, trials: int = 4, progress: Progress = iter
) -> Iterator[Metric]:
    """Yield the adjusted Rand index of average linkage and of the leader procedure.

    In each trial half of the identities choose where each method cuts, and the samples of the
    others are clustered there, in random order.
    """
    random = np.random.default_rng(seed)
    found: dict[Method, list[float]] = {"linkage": [], "leader": []}
    for _ in progress(range(trials)):
        half = random.permutation(embedded.identities) < embedded.identities // 2
        choosing = embedded.only(half[embedded.labels])
        clustered = embedded.only(~half[embedded.labels])
        rows = some_rows(clustered, CLUSTERED_IDENTITIES, CLUSTERED_SAMPLES, random)
        for method, indices in found.items():
            cut = best_cut(choosing, random, method)
            indices.append(agreement(clustered, rows, cut, method))
    for method, indices in found.items():
        yield Metric(
            name=f"ari of {method}",
            value=float(np.mean(indices)),
            interval=(min(indices), max(indices)),
            protocol=f"{trials} draws of up to {CLUSTERED_IDENTITIES} identities × "
            f"{CLUSTERED_SAMPLES} samples, cut where other identities agreed best; the interval "
            "spans the draws",
        )
