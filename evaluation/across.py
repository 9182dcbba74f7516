"""Do posteriors across two encoders come true? `python -m evaluation.across NPZ`.

NPZ holds `embeddings` float32 (n, d), unit vectors compared by cosine, `identities` and `sides`
str (n,), as `python -m training evaluate --out` writes them of a bundle of two encoders. Half of
the identities set head, posterior and cohort, and galleries of the others are asked by either
side; so again with other halves, and what was stated is judged over all splits.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evaluation.calibration import fit_head, score_of
from evaluation.open_set_figures import Setting, Stated, posterior_rows, tried
from evaluation.pairs import Embedded
from evaluation.reliability import BINS
from evaluation.report import PosteriorRow, Side
from evaluation.samples import Samples, Served
from evaluation.two_sided import TwoSided, across, of_direction, strangers
from index.posterior import PosteriorModel

SIZES, SAMPLES = (5, 20, 50), (1, 2)
SIDES: tuple[Side, Side] = ("a", "b")


class Half(NamedTuple):
    """Samples of half of the identities, and which of all these are."""

    samples: Embedded
    identities: np.ndarray


def halves(embedded: Embedded, seed: int) -> tuple[Half, Half]:
    """Return the samples of one half of the identities, and of the other."""
    drawn = np.random.default_rng(seed).permutation(embedded.identities)
    one, other = (np.sort(each) for each in np.array_split(drawn, 2))
    return (
        Half(embedded.only(np.isin(embedded.labels, one)), one),
        Half(embedded.only(np.isin(embedded.labels, other)), other),
    )


def served_by(embedded: Embedded, seed: int) -> Served:
    """Return a comparator that is calibrated by these samples, and has them as its strangers."""
    of_b = embedded.of_b
    if of_b is None:
        raise ValueError("expected samples of two encoders")
    alone = replace(embedded, of_b=None)
    samples = TwoSided(alone.only(~of_b), alone.only(of_b))
    scored = samples.scored(score_of(fit_head(across(samples))))

    def of(side: Side) -> Served:
        chosen = of_direction(scored, side, seed)
        asking, _ = scored.facing(side)
        posterior = chosen.posterior
        return Served(
            "half of the identities",
            "cosine",
            asking.score,
            strangers(asking),
            posterior=PosteriorModel(**posterior.model_dump()) if posterior else None,
        )

    return replace(of("a"), of_b=of("b"))


def measure(embedded: Embedded, splits: int) -> Iterator[PosteriorRow]:
    """Yield whether posteriors come true, and raw scores as a control, for each setting."""
    settings = [
        Setting("as-served", size, samples, side)
        for side in SIDES
        for size in SIZES
        for samples in SAMPLES
    ]
    whole = (2, embedded.identities, 2, 5, BINS)
    stated = {setting: Stated(np.zeros(whole)) for setting in settings}
    for split in range(splits):
        fitted, others = halves(embedded, split)
        served = served_by(fitted.samples, split)
        judged = replace(others.samples, score=served.score)
        names = tuple(str(i) for i in others.identities)
        samples = Samples("halves", judged, names, served)
        random = np.random.default_rng(split)
        for setting in settings:
            _, found, _ = tried(samples, setting, None, random)
            stated[setting].sums[:, others.identities] += found.sums
    for setting in settings:
        if stated[setting].sums.any():
            yield from posterior_rows(stated[setting], setting, splits, 0)


def main() -> None:
    """Print a row for each side that asks, each gallery's size and samples, and what is stated."""
    asked = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    asked.add_argument("data", type=Path)
    asked.add_argument("--splits", type=int, default=10)
    options = asked.parse_args()
    with np.load(options.data, allow_pickle=False) as data:
        rows, of_b = data["embeddings"], data["sides"] == "b"
        labels = np.unique(data["identities"], return_inverse=True)[1]
    nobody = np.zeros(len(labels), np.int64)
    embedded = Embedded(rows, labels, nobody, nobody.astype(str), "cosine", np.negative, of_b=of_b)
    told = ("asked by side", "N", "samples", "stated", "ECE", "right of ≥ 90 %", "answers ≥ 90 %")
    sys.stdout.write(f"| {' | '.join(told)} |\n|{'---|' * len(told)}\n")
    on_both = (embedded.counts(of_b=False) > 0) & (embedded.counts(of_b=True) > 0)
    for row in measure(embedded.only(on_both[labels]), options.splits):
        low, high = row.ece.interval or (np.nan, np.nan)
        sure = "too few" if row.sure.value is None else f"{row.sure.value:.3f}"
        sys.stdout.write(
            f"| {row.probes} | {row.identities} | {row.samples} | {row.stated} "
            f"| {row.ece.value:.3f} ({low:.3f}–{high:.3f}) | {sure} | {row.sure_share:.1%} |\n"
        )


if __name__ == "__main__":
    main()
