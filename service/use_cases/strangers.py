"""Which labelled samples are no strangers to a gallery, and which identities are."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from index import Identifier, distances
from models_store import Comparator, Side
from models_store.comparator import Array
from service.requests.labelled import Label

ALIKE = 1e-3
"""This part of the way from one stranger to another, two samples are one: no two takes are."""

_ROWS = 64  # samples compared with the whole gallery in one go

Sign = Literal[
    "enrolled-under-that-name", "sample-enrolled", "nearer-than-any-stranger", "matched"
]


@dataclass(frozen=True, slots=True)
class Seen:
    """A labelled sample, by its row, that is enrolled already: as `sample` of `enrolled_as`."""

    row: int
    enrolled_as: str
    sample: int
    distance: float


@dataclass(frozen=True, slots=True)
class Known:
    """A labelled identity, whom of the enrolled it may be, and what tells so."""

    identity: str
    sign: Sign
    enrolled_as: str


@dataclass(frozen=True, slots=True)
class Strangers:
    """Identities that may judge a gallery: a row of each, and who was left out.

    `look_alikes` were not: most of their samples are matched by the gallery at its target, as
    some strangers' are.
    """

    rows: list[int]
    left_out: list[Known]
    look_alikes: list[Known]


def seen_in(
    index: Identifier, comparator: Comparator, embeddings: Array, side: Side = "a"
) -> list[Seen]:
    """Return which embeddings (n, d) are of samples that are enrolled already.

    `side` is the one that embeds what is enrolled, where there are two encoders.
    """
    references, enrolled = index.enrolled()
    if not references:
        return []
    seen: list[Seen] = []
    same = _same(comparator, side)
    for start in range(0, len(embeddings), _ROWS):
        far = distances(
            embeddings[start : start + _ROWS], enrolled, comparator.manifest.distance
        )  # (rows, N)
        nearest = far.argmin(axis=1)
        for row in np.flatnonzero(far.min(axis=1) <= same).tolist():
            reference = references[nearest[row]]
            distance = max(0.0, float(far[row, nearest[row]]))
            seen.append(Seen(start + row, reference.identity, reference.key, distance))
    return seen


def choose_strangers(
    index: Identifier,
    embeddings: Array,
    labels: Sequence[Label],
    seen: Sequence[Seen],
    target_fpir: float,
) -> Strangers:
    """Return who of these labelled embeddings (n, d) are strangers to the gallery.

    Left out is who is enrolled by name, or has a sample that is enrolled, or most of whose
    samples come nearer to one who is enrolled than any stranger so far. Who is only *matched* at
    the target stays: of strangers a share of `target_fpir` is matched, and without them the
    threshold would be read from a tail that was cut off, and name twice as many as asked.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        rows[label.identity].append(row)
    enrolled = {reference.identity for reference in index.enrolled()[0]}
    copies = {each.row: each.enrolled_as for each in seen}
    likest = _likest(index, embeddings) if enrolled else []
    matched, beyond = _thresholds(index, embeddings, target_fpir)
    found = Strangers([], [], [])
    for identity, own in sorted(rows.items()):
        names = {identity, labels[own[0]].person} & enrolled
        copied = [copies[row] for row in own if row in copies]
        if names:
            found.left_out.append(Known(identity, "enrolled-under-that-name", min(names)))
        elif copied:
            found.left_out.append(Known(identity, "sample-enrolled", copied[0]))
        elif like := _whom_most_reach(likest, own, beyond):
            found.left_out.append(Known(identity, "nearer-than-any-stranger", like))
        else:
            found.rows.append(own[0])
            if like := _whom_most_reach(likest, own, matched):
                found.look_alikes.append(Known(identity, "matched", like))
    return found


def _likest(index: Identifier, embeddings: Array) -> list[tuple[str, float]]:
    """Return whom each embedding (n, d) is most alike, and their score."""
    found: list[tuple[str, float]] = []
    for start in range(0, len(embeddings), _ROWS):  # so that writers get their turn between
        for each in index.identify(embeddings[start : start + _ROWS], threshold=1.0, top=1, k=1):
            found += [(each.candidates[0].identity, each.candidates[0].score)]
    return found


def _whom_most_reach(
    likest: Sequence[tuple[str, float]], rows: Sequence[int], threshold: float
) -> str | None:
    """Return the identity for which more than half of these rows reach a threshold."""
    reached = Counter(likest[row][0] for row in rows if likest and likest[row][1] >= threshold)
    identity, count = max(reached.items(), key=lambda each: each[1], default=("", 0))
    return identity if count > len(rows) / 2 else None


def _thresholds(index: Identifier, embeddings: Array, target_fpir: float) -> tuple[float, float]:
    """Return the scores of a match at the target, and at the lowest that the evidence resolves."""
    (one,) = index.identify(embeddings[:1], threshold=1.0, top=1, k=1)
    strangers, own = one.evidence.cohort_size, one.evidence.own_trials
    lowest = (1 / (strangers + own + 1), 1 / (strangers + 1), 0.01, target_fpir)
    known = [index.threshold(target) for target in lowest]
    beyond = next((score for score in known if score is not None), np.inf)
    return np.inf if known[-1] is None else known[-1], beyond


def _same(comparator: Comparator, side: Side) -> float:
    """Return the distance up to which two embeddings of a side are of one sample."""
    some = comparator.cohorts[side][:200]
    far = distances(some, some, comparator.manifest.distance)
    apart = far[np.triu_indices(len(some), 1)]
    return max(ALIKE * float(np.median(apart)), 1e-6) if len(apart) else 1e-6
