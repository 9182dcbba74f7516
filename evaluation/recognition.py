"""Labelled k-NN: how often it is right, and whom it takes for whom."""

from typing import Literal

import numpy as np

from evaluation.intervals import ratio, too_few
from evaluation.pair_counts import Counts, Progress, Rows
from evaluation.pairs import Embedded
from evaluation.report import Accuracy, Cell, RecognitionSection
from evaluation.samples import Samples
from evaluation.seed_rule import UNKNOWN, labelled_knn, seed_rule, tied_vote
from index.gallery import distances

MOST_IDENTITIES, MOST_SAMPLES = 400, 10  # enrolled, and of each
TURNS = 5
_AT_ONCE = 512  # probes
_LISTED = 2000  # cells of the confusion matrix

Rule = Literal["knn", "seed rule", "tied vote"]
RULES: tuple[Rule, ...] = ("knn", "seed rule", "tied vote")


def measure_recognition(samples: Samples, seed: int, progress: Progress) -> RecognitionSection:
    """Return how often each rule is right, with every identity a stranger once.

    In each of five turns a fifth of the identities are strangers; of the others half of the
    samples, at most ten, are enrolled, and the other half probe, as do the strangers' samples.
    """
    e = samples.embedded
    random = np.random.default_rng(seed)
    halves = _halves(e, random)
    turns = min(TURNS, len(halves))
    protocol = (
        f"{turns} turns: a part of {len(halves)} identities are strangers; of the others half the "
        f"samples, at most {MOST_SAMPLES}, are enrolled and the other half probe"
    )
    if turns < 2:
        return RecognitionSection(
            protocol=protocol, accuracy=(), confusion=(), too_few=too_few(turns)
        )
    whose = list(halves)
    known, unknown = (np.zeros((len(RULES), 2, e.identities)) for _ in range(2))
    cells = np.zeros((e.identities + 1, e.identities + 1), np.int32)
    for turn in range(turns):
        strangers = set(whose[turn::turns])
        owners, named = _turn(e, halves, strangers)
        is_stranger = np.isin(owners, list(strangers))
        for i, answers in enumerate(named):
            right = np.where(is_stranger, answers == UNKNOWN, answers == owners)
            for tally, some in ((known, ~is_stranger), (unknown, is_stranger)):
                np.add.at(tally[i, 0], owners[some], right[some])
                np.add.at(tally[i, 1], owners[some], 1)
        np.add.at(cells, (np.where(is_stranger, UNKNOWN, owners), named[0]), 1)
        progress((turn + 1) / turns)
    every = known + unknown
    return RecognitionSection(
        protocol=protocol,
        accuracy=tuple(
            Accuracy(
                rule=rule,
                known=ratio(known[i, 0], known[i, 1], seed, _told(known[i, 1], "of the enrolled")),
                unknown=ratio(
                    unknown[i, 0], unknown[i, 1], seed, _told(unknown[i, 1], "of strangers")
                ),
                both=ratio(every[i, 0], every[i, 1], seed, _told(every[i, 1])),
            )
            for i, rule in enumerate(RULES)
        ),
        confusion=_listed(cells, samples.identities),
        too_few=None,
    )


def _halves(e: Embedded, random: np.random.Generator) -> dict[int, tuple[Rows, Rows]]:
    """Return rows to enroll and rows to probe with, of identities with two samples or more."""
    order = random.permutation(len(e.labels))
    order = order[np.argsort(e.labels[order], kind="stable")]
    rows = np.split(order, np.cumsum(np.bincount(e.labels))[:-1])
    able = [i for i in random.permutation(e.identities).tolist() if len(rows[i]) > 1]
    return {
        i: (rows[i][::2][:MOST_SAMPLES], rows[i][1::2][:MOST_SAMPLES])
        for i in able[:MOST_IDENTITIES]
    }


def _turn(
    e: Embedded, halves: dict[int, tuple[Rows, Rows]], strangers: set[int]
) -> tuple[Rows, list[Rows]]:
    """Return whose the probes (n,) are, and for each rule whom they are named as."""
    enrolled = np.concatenate([own for i, (own, _) in halves.items() if i not in strangers])
    probes = np.concatenate([other for _, other in halves.values()])
    owners = e.labels[enrolled]
    named: list[list[Rows]] = [[], [], []]
    for start in range(0, len(probes), _AT_ONCE):
        some = e.embeddings[probes[start : start + _AT_ONCE]]
        far = distances(some, e.embeddings[enrolled], e.metric)
        answers = (
            labelled_knn(far, e.score, owners),
            seed_rule(far, e.score, owners),
            tied_vote(far, owners),
        )
        for each, answer in zip(named, answers, strict=True):
            each.append(answer)
    return e.labels[probes], [np.concatenate(each) for each in named]


def _told(trials: Counts, of: str = "in all") -> str:
    return f"{int(trials.sum())} probes {of}, {int((trials > 0).sum())} identities"


def _listed(cells: np.ndarray, names: tuple[str, ...]) -> tuple[Cell, ...]:
    """Return the cells that are not empty, by count and then by name; the last is unknown."""
    truth, named = np.nonzero(cells)
    counts = cells[truth, named]
    order = np.lexsort((named, truth, -counts))[:_LISTED]
    name: list[str | None] = [*names, None]
    return tuple(
        Cell(truth=name[truth[i]], named=name[named[i]], count=int(counts[i])) for i in order
    )
