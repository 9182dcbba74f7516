"""Two sides: how often a probe's own identity is among the first few of the other."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from evaluation.intervals import ratio
from evaluation.pair_counts import Progress, Rows
from evaluation.pairs import Embedded
from evaluation.report import Figure, RetrievalRow, RetrievalSection, Side
from evaluation.samples import Samples
from index.gallery import distances

RANKS = (1, 5, 10)
DRAWS = 5  # galleries of one sample of each, where identities have several
_AT_ONCE = 512  # probes
_PROTOCOL = (
    "every sample of one side whose identity is on the other side too is a probe, searched among "
    "all identities there, each by its sample that is nearest; a tie counts as lost"
)


def measure_retrieval(
    samples: Samples, seed: int, progress: Progress = lambda _: None
) -> RetrievalSection:
    """Return recall at 1, 5 and 10 in both directions, of samples of two encoders."""
    rows: list[RetrievalRow] = []
    sides: tuple[Side, Side] = ("a", "b")
    for done, probes in enumerate(sides):
        rows += _of_direction(samples.embedded, probes, seed)
        progress((done + 1) / len(sides))
    return RetrievalSection(protocol=_PROTOCOL, rows=tuple(rows))


def _of_direction(e: Embedded, probes: Side, seed: int) -> Iterator[RetrievalRow]:
    asked = e.counts(of_b=probes != "b")
    asking = np.flatnonzero((e.of_b == (probes == "b")) & (asked[e.labels] > 0))
    everybody = np.flatnonzero(e.of_b == (probes != "b"))
    everybody = everybody[np.argsort(e.labels[everybody], kind="stable")]
    random = np.random.default_rng(seed)
    most = int(asked.max())
    drawn = [_one_of_each(e, everybody, random) for _ in range(min(most, DRAWS))]
    yield from _rows(e, probes, "one of each", asking, drawn, seed)
    if most > 1:
        yield from _rows(e, probes, "all", asking, [everybody], seed)


def _rows(
    e: Embedded,
    probes: Side,
    references: Literal["one of each", "all"],
    asking: Rows,
    galleries: list[Rows],
    seed: int,
) -> Iterator[RetrievalRow]:
    identities = len(np.unique(e.labels[galleries[0]]))
    ahead = [_ahead(e, asking, gallery) for gallery in galleries]
    trials = len(galleries) * np.bincount(e.labels[asking], minlength=e.identities)
    counted = (
        f"{len(asking)} probes of side {probes}, {int((trials > 0).sum())} identities, among "
        f"{identities} identities"
        + (f" in {len(galleries)} galleries of one sample of each" if len(galleries) > 1 else "")
    )
    for rank in RANKS:
        hits = sum(np.bincount(e.labels[asking], each < rank, e.identities) for each in ahead)
        yield RetrievalRow(
            probes=probes,
            references=references,
            identities=identities,
            rank=rank,
            found=_figure(np.asarray(hits), trials, identities, rank, seed, counted),
            chance=min(1.0, rank / identities),
        )


def _figure(
    hits: np.ndarray, trials: np.ndarray, identities: int, rank: int, seed: int, counted: str
) -> Figure:
    if identities <= rank:
        told = f"of {identities} identities everybody is among the first {rank}"
        return Figure(counted=counted, too_few=told)
    return ratio(hits, trials, seed, counted)


def _one_of_each(e: Embedded, rows: Rows, random: np.random.Generator) -> Rows:
    """Return a row of each identity, of rows that are sorted by identity."""
    shuffled = rows[random.permutation(len(rows))]
    return shuffled[np.unique(e.labels[shuffled], return_index=True)[1]]


def _ahead(e: Embedded, asking: Rows, gallery: Rows) -> Rows:
    """Return how many others are as near as its own to each probe; rows are sorted by identity."""
    whose, starts = np.unique(e.labels[gallery], return_index=True)
    found = [np.empty(0, np.int64)]
    for start in range(0, len(asking), _AT_ONCE):
        some = asking[start : start + _AT_ONCE]
        far = distances(e.embeddings[some], e.embeddings[gallery], e.metric)
        nearest = np.minimum.reduceat(far, starts, axis=1)  # (p, identities)
        own = nearest[np.arange(len(some)), np.searchsorted(whose, e.labels[some])]
        found.append((nearest <= own[:, None]).sum(axis=1) - 1)
    return np.concatenate(found)
