"""Which labelled samples are no strangers to a gallery, and which identities are."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from index import Identifier, as_many_by_chance, distances
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
    some strangers' are, of whom so many are with a probability of `chance` at most.
    """

    rows: list[int]
    left_out: list[Known]
    look_alikes: list[Known]
    target_fpir: float

    @property
    def chance(self) -> float:
        """How probable it is that so many strangers, or more, are look-alikes."""
        return as_many_by_chance(len(self.look_alikes), len(self.rows), self.target_fpir)


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
    samples come nearer to one who is enrolled than any stranger so far, the nearest of all who
    do. Where more do than are enrolled, that cannot be why: they are of another kind than the
    strangers so far, and stay. Who is only *matched* at the target stays: of strangers a share of
    `target_fpir` is matched, and without them the threshold would be read from a tail that was
    cut off, and name twice as many as asked.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        rows[label.identity].append(row)
    enrolled = {reference.identity for reference in index.enrolled()[0]}
    copies = {each.row: each.enrolled_as for each in seen}
    likest = _likest(index, embeddings) if enrolled else []
    matched, beyond = _thresholds(index, target_fpir)
    found = Strangers([], [], [], target_fpir)
    others: dict[str, list[int]] = {}
    for identity, own in sorted(rows.items()):
        names = {identity, labels[own[0]].person} & enrolled
        copied = [copies[row] for row in own if row in copies]
        if names:
            found.left_out.append(Known(identity, "enrolled-under-that-name", min(names)))
        elif copied:
            found.left_out.append(Known(identity, "sample-enrolled", copied[0]))
        else:
            others[identity] = own
    nearest = _nearest(likest, others, beyond, len(enrolled))
    for identity, own in others.items():
        if identity in nearest:
            like = nearest[identity]
            found.left_out.append(Known(identity, "nearer-than-any-stranger", like))
            continue
        found.rows.append(own[0])
        if some := _whom_most_reach(likest, own, matched):
            found.look_alikes.append(Known(identity, "matched", some))
    return found


def _likest(index: Identifier, embeddings: Array) -> list[tuple[str, float]]:
    """Return whom each embedding (n, d) is most alike, and their score."""
    found: list[tuple[str, float]] = []
    for start in range(0, len(embeddings), _ROWS):  # so that writers get their turn between
        for each in index.identify(embeddings[start : start + _ROWS], threshold=1.0, top=1, k=1):
            found += [(each.candidates[0].identity, each.candidates[0].score)]
    return found


def _nearest(
    likest: Sequence[tuple[str, float]],
    rows: Mapping[str, list[int]],
    threshold: float,
    enrolled: int,
) -> dict[str, str]:
    """Return by identity who reaches one who is enrolled by most of their `rows`, and whom.

    Of several who reach the same one it is the nearest, in the mean; it is nobody where more
    reach one than are `enrolled`.
    """
    reaching = [
        (float(np.mean([likest[row][1] for row in own])), identity, like)
        for identity, own in rows.items()
        if (like := _whom_most_reach(likest, own, threshold))
    ]
    if len(reaching) > enrolled:
        return {}
    nearest = {like: identity for _, identity, like in sorted(reaching)}
    return {identity: like for like, identity in nearest.items()}


def _whom_most_reach(
    likest: Sequence[tuple[str, float]], rows: Sequence[int], threshold: float
) -> str | None:
    """Return the identity for which more than half of these rows reach a threshold."""
    reached = Counter(likest[row][0] for row in rows if likest and likest[row][1] >= threshold)
    identity, count = max(reached.items(), key=lambda each: each[1], default=("", 0))
    return identity if count > len(rows) / 2 else None


def _thresholds(index: Identifier, target_fpir: float) -> tuple[float, float]:
    """Return the score of a match at the target, and that beyond which there is no stranger.

    They are infinite where the evidence does not tell.
    """
    curve = index.operating_curve([target_fpir])
    matched = curve.points[0].threshold
    beyond = index.threshold(curve.resolvable_from) if curve.resolvable_from < 1 else None
    return matched or np.inf, beyond or np.inf


def _same(comparator: Comparator, side: Side) -> float:
    """Return the distance up to which two embeddings of a side are of one sample."""
    some = comparator.cohorts[side][:200]
    far = distances(some, some, comparator.manifest.distance)
    apart = far[np.triu_indices(len(some), 1)]
    return max(ALIKE * float(np.median(apart)), 1e-6) if len(apart) else 1e-6
