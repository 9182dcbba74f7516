"""What all pairs say: error rates, calibration, the likeliest mistakes, groups."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evaluation.intervals import FEWEST_ERRORS, FEWEST_IDENTITIES, draws, interval, ratio
from evaluation.pair_bootstrap import Grid, PairRates, grid_of
from evaluation.pair_counts import PairCounts, PairScan, Progress, Reals
from evaluation.pair_walk import GroupCounts, Walked, walk
from evaluation.pairs import Embedded
from evaluation.reliability import binned, curve, expected_error
from evaluation.report import Curve, Figure, Histogram, OperatingPoint, PairSection

FMRS = (1e-2, 1e-3, 1e-4)
PAIR_FMR = 0.01  # what rivals tell their users to set
_DRAWN = 300  # points of a DET
_HISTOGRAM = 60  # bins
RESOLUTION = "scores are exact to a 2^20th of the range of distances"


@dataclass(frozen=True, slots=True)
class PairFindings:
    """The section, and what other sections need: counts, the threshold of FMR 1 %, the walk.

    `walked` is None where there are no pairs of one kind.
    """

    section: PairSection
    threshold: float | None
    walked: Walked | None


def measure_pairs(
    embedded: Embedded, seed: int, progress: Progress = lambda _: None
) -> PairFindings:
    """Return what all pairs of these samples say; of two encoders, all pairs across the sides."""
    scan = PairScan(embedded)
    pairs = scan.count(lambda share: progress(share / 2))
    counted = (
        f"all pairs of {_of_whom(embedded)}: "
        f"{pairs.genuine_pairs} genuine, {pairs.impostor_pairs} impostor"
    )
    if not pairs.genuine_pairs or not pairs.impostor_pairs:
        kind = "genuine" if not pairs.genuine_pairs else "impostor"
        return PairFindings(_nothing(pairs, counted, f"there are no {kind} pairs"), None, None)
    threshold = threshold_at(pairs, PAIR_FMR)
    grid = grid_of(pairs)
    walked = walk(
        *(embedded, scan, pairs, grid, 1.0 if threshold is None else threshold, seed),
        lambda share: progress(0.5 + share / 2),
    )
    with_mates, mated = _with_mates(embedded)
    if with_mates < FEWEST_IDENTITIES:
        reason = f"{with_mates} identities {mated}; at least {FEWEST_IDENTITIES} are needed to say"
        section = _nothing(pairs, counted, reason)
        return PairFindings(section, threshold, walked)
    genuine, impostor = walked.by_bunch.replicates(seed)
    section = _section(pairs, PairRates(grid, genuine, impostor), _whole(grid, walked), counted)
    return PairFindings(section, threshold, walked)


def _of_whom(e: Embedded) -> str:
    if e.of_b is None:
        return f"{len(e.labels)} samples of {e.identities} identities"
    b = int(e.of_b.sum())
    return (
        f"one of {len(e.labels) - b} samples of side a with one of {b} of side b, "
        f"{e.identities} identities"
    )


def _with_mates(e: Embedded) -> tuple[int, str]:
    """Return how many identities have a genuine pair, and what that takes."""
    if e.of_b is None:
        return int((np.bincount(e.labels) > 1).sum()), "with two samples"
    on_both = (e.counts(of_b=False) > 0) & (e.counts(of_b=True) > 0)
    return int(on_both.sum()), "on both sides"


def threshold_at(pairs: PairCounts, fmr: float) -> float | None:
    """Return the lowest score that accepts at most this share of impostors; None: unresolved."""
    place = pairs.place_at(fmr)
    if fmr * pairs.impostor_pairs < FEWEST_ERRORS or place == len(pairs.scores):
        return None
    return float(pairs.scores[place])


def group_rates(
    counts: GroupCounts, members: np.ndarray, seed: int, counted: str
) -> tuple[Figure, Figure]:
    """Return FMR and FNMR of the identities that are members of one group."""
    fnmr = ratio(counts.refused[members], counts.genuine[members], seed, counted)
    accepted, impostors = counts.accepted[members], counts.impostors[members]
    figure = ratio(accepted, impostors, seed, counted)
    if figure.value is None:
        return figure, fnmr
    # A pair belongs to two identities, and either may be drawn anew: to first order its weight
    # is v + w - 1, so that the sums over pairs are Σ v·a - A, twice counted.
    drawn = draws(len(members), seed)
    again = (drawn @ accepted - accepted.sum() / 2) / np.maximum(
        drawn @ impostors - impostors.sum() / 2, 1
    )
    return figure.model_copy(update={"interval": interval(again.clip(0, 1))}), fnmr


def _section(pairs: PairCounts, again: PairRates, whole: PairRates, counted: str) -> PairSection:
    def figure(value: float, of: Callable[[PairRates], Reals], most: float = 1.0) -> Figure:
        # Replicates are read off a grid: what that does to the value, it does to the interval.
        low, high = interval(np.clip(of(again) + value - of(whole)[0], 0, most))
        return Figure(value=value, interval=(min(low, value), max(high, value)), counted=counted)

    stated, right, weight = _even(pairs)
    sums = binned(stated, right, weight)
    return PairSection(
        genuine=pairs.genuine_pairs,
        impostor=pairs.impostor_pairs,
        resolution=RESOLUTION,
        eer=figure(pairs.equal_error_rate(), PairRates.equal_error_rate),
        auc=figure(pairs.area_under_curve(), PairRates.area_under_curve),
        ece=figure(float(expected_error(*sums)), PairRates.expected_error),
        cllr=figure(pairs.cllr(), PairRates.cllr, np.inf),
        min_cllr=figure(pairs.min_cllr(), PairRates.min_cllr),
        operating_points=tuple(_point(pairs, fmr, figure, counted) for fmr in FMRS),
        det=_det(pairs),
        histogram=_histogram(pairs),
        reliability=curve(*sums),
    )


def _point(
    pairs: PairCounts,
    fmr: float,
    figure: Callable[[float, Callable[[PairRates], Reals]], Figure],
    counted: str,
) -> OperatingPoint:
    threshold = threshold_at(pairs, fmr)
    if threshold is None:
        reason = (
            f"{pairs.impostor_pairs} impostor pairs; an FMR of {fmr:g} takes "
            f"{round(FEWEST_ERRORS / fmr)} at least"
        )
        missing = Figure(counted=counted, too_few=reason)
        return OperatingPoint(fmr=fmr, threshold=None, fnmr=missing)
    fnmr = float(pairs.fnmr[pairs.place_at(fmr)])
    return OperatingPoint(
        fmr=fmr, threshold=threshold, fnmr=figure(fnmr, lambda rates: rates.fnmr_at(fmr))
    )


def _nothing(pairs: PairCounts, counted: str, reason: str) -> PairSection:
    missing = Figure(counted=counted, too_few=reason)
    both = pairs.genuine_pairs and pairs.impostor_pairs
    return PairSection(
        genuine=pairs.genuine_pairs,
        impostor=pairs.impostor_pairs,
        resolution=RESOLUTION,
        eer=missing,
        auc=missing,
        ece=missing,
        cllr=missing,
        min_cllr=missing,
        operating_points=tuple(
            OperatingPoint(fmr=fmr, threshold=None, fnmr=missing) for fmr in FMRS
        ),
        det=None,
        histogram=_histogram(pairs) if both else None,
        reliability=(),
    )


def _even(pairs: PairCounts) -> tuple[Reals, Reals, Reals]:
    """Return stated probability, truth and weight of both kinds of pairs, at even odds."""
    right = np.repeat([1.0, 0.0], len(pairs.scores))
    return np.tile(pairs.scores, 2), right, np.concatenate(pairs.even)


def _whole(grid: Grid, walked: Walked) -> PairRates:
    counts = walked.by_bunch
    genuine = counts.genuine.sum(0)[None].astype(float)
    impostor = (counts.within.sum(0) + counts.across.sum((0, 1)))[None].astype(float)
    return PairRates(grid, genuine / genuine.sum(), impostor / impostor.sum())


def _det(pairs: PairCounts) -> Curve:
    """Return FMR and FNMR at thresholds spread over the logarithms of both."""
    fmr, fnmr = pairs.fmr, pairs.fnmr
    rates = np.geomspace(1, 1 / max(pairs.impostor_pairs, pairs.genuine_pairs), _DRAWN // 2)
    places = np.unique(
        [*np.searchsorted(-fmr, -rates, side="left"), *np.searchsorted(fnmr, rates, side="left")]
    )
    places = places[places < len(pairs.scores)]
    return Curve(
        threshold=tuple(pairs.scores[places].tolist()),
        fmr=tuple(fmr[places].tolist()),
        fnmr=tuple(fnmr[places].tolist()),
    )


def _histogram(pairs: PairCounts) -> Histogram:
    edges = np.linspace(0, 1, _HISTOGRAM + 1)
    where = np.minimum((pairs.scores * _HISTOGRAM).astype(int), _HISTOGRAM - 1)
    shares = [
        np.bincount(where, each, _HISTOGRAM) / max(each.sum(), 1)
        for each in (pairs.genuine, pairs.impostor)
    ]
    return Histogram(
        edges=tuple(edges.tolist()),
        genuine=tuple(shares[0].tolist()),
        impostor=tuple(shares[1].tolist()),
    )
