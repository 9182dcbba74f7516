"""Many enrollments in columns, and what became of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Self, TypeVar

import numpy as np

from models_store import Sample
from service.store.kept import (
    Change,
    Embedding,
    Enrolled,
    EnrolledSample,
    Enrollment,
    Metadata,
    payload_of,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Intake:
    """Enrollments of one gallery, model and width that are written together, in columns.

    Of each of k there are an identity, its metadata, an idempotency key or None, and how many of
    the n samples are its own. Samples lie in the order of their enrollments.
    """

    gallery: str
    digest: str  # the model that made these embeddings
    identities: Sequence[str]  # (k,)
    metadata: Sequence[Metadata | None]  # (k,) None keeps what the identity has
    keys: Sequence[str | None]  # (k,)
    counts: Sequence[int]  # (k,)
    fingerprints: Sequence[str]  # (n,) SHA-256 in hex
    embeddings: Embedding  # (n, d)
    other: str | None = None  # the model of the embeddings beside these
    beside: Mapping[int, Embedding] = field(default_factory=dict)  # by place of a sample
    originals: Mapping[int, Sample] = field(default_factory=dict)  # to be kept, by place

    @classmethod
    def of(cls, enrollments: Sequence[Enrollment]) -> Self:
        """Return enrollments, of which there is one at least, as columns."""
        samples = [sample for each in enrollments for sample in each.samples]
        return cls(
            enrollments[0].gallery,
            enrollments[0].digest,
            [each.identity for each in enrollments],
            [each.metadata for each in enrollments],
            [each.idempotency_key for each in enrollments],
            [len(each.samples) for each in enrollments],
            [sample.fingerprint for sample in samples],
            np.stack([sample.embedding for sample in samples]),
            enrollments[0].beside,
            {i: each.beside for i, each in enumerate(samples) if each.beside is not None},
            {i: each.original for i, each in enumerate(samples) if each.original is not None},
        )

    def __len__(self) -> int:
        return len(self.identities)

    @property
    def payloads(self) -> list[str]:
        """What each asks for, where it has a key, as `Enrollment.payload` says; else ''."""
        ends = list(accumulate(self.counts))
        asked = zip(self.identities, self.metadata, self.keys, self.counts, ends, strict=True)
        return [
            payload_of(name, metadata, self.fingerprints[end - count : end]) if key else ""
            for name, metadata, key, count, end in asked
        ]

    def parts(self, most: int, most_bytes: int) -> "Iterator[Intake]":
        """Yield it in parts of at most so many enrollments and bytes, or of one enrollment."""
        width = self.embeddings[:1].nbytes
        start = first = end = size = 0
        for i, count in enumerate(self.counts):
            more = count * width
            for place in range(end, end + count) if self.beside or self.originals else ():
                more += self.beside[place].nbytes if place in self.beside else 0
                more += len(self.originals[place].content) if place in self.originals else 0
            if i > start and (i - start == most or size + more > most_bytes):
                yield self._part(slice(start, i), slice(first, end))
                start, first, size = i, end, 0
            end, size = end + count, size + more
        if len(self):
            yield self._part(slice(start, None), slice(first, end))

    def _part(self, some: slice, samples: slice) -> "Intake":
        return Intake(
            self.gallery,
            self.digest,
            self.identities[some],
            self.metadata[some],
            self.keys[some],
            self.counts[some],
            self.fingerprints[samples],
            self.embeddings[samples],
            self.other,
            _within(self.beside, samples),
            _within(self.originals, samples),
        )


@dataclass(frozen=True, slots=True)
class Admitted:
    """What became of an intake's k enrollments and n samples, in columns.

    `refused` and `replayed` are by enrollment; of what is refused the columns hold nothing: 0.
    """

    versions: list[int]  # (k,)
    numbers: list[int]  # (k,) of identities
    counts: Sequence[int]  # (k,) samples of each
    ids: list[int]  # (n,)
    added: list[bool]  # (n,) False: it was there, under that id
    hashes: list[str]  # (k,) of the change that it made; '': nothing was new
    previous: list[str]  # (k,) of the change before
    sealed: list[tuple[str, str]]  # (k,) with which model and when changes were entered in the log
    refused: dict[int, Exception] = field(default_factory=dict)
    replayed: dict[int, Enrolled] = field(default_factory=dict)

    @classmethod
    def none(cls, intake: Intake, why: Exception) -> Self:
        """Return that all were refused for one reason."""
        k, n = len(intake), len(intake.fingerprints)
        nothing, no_text = [0] * k, [""] * k
        return cls(
            nothing, nothing, intake.counts, [0] * n, [False] * n, no_text, no_text,
            [("", "")] * k, dict.fromkeys(range(k), why),
        )  # fmt: skip

    def followed_by(self, more: "Admitted") -> "Admitted":
        """Return what became of these, and then of more."""
        k = len(self.versions)
        return Admitted(
            self.versions + more.versions,
            self.numbers + more.numbers,
            [*self.counts, *more.counts],
            self.ids + more.ids,
            self.added + more.added,
            self.hashes + more.hashes,
            self.previous + more.previous,
            self.sealed + more.sealed,
            self.refused | {k + i: error for i, error in more.refused.items()},
            self.replayed | {k + i: each for i, each in more.replayed.items()},
        )

    @property
    def owners(self) -> list[int]:
        """Of which enrollment each sample is (n,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts).tolist()

    @property
    def samples(self) -> tuple[EnrolledSample, ...]:
        """What became of each sample (n,); of no use where its enrollment was refused."""
        outcomes = ["added" if new else "duplicate" for new in self.added]
        return tuple(map(EnrolledSample._make, zip(self.ids, outcomes, strict=True)))

    def each(self) -> list[Enrolled | Exception]:
        """Return what became of each enrollment, one by one."""
        ends, samples = accumulate(self.counts), self.samples
        return [
            self.refused.get(i)
            or self.replayed.get(i)
            or self._enrolled(i, samples[end - self.counts[i] : end])
            for i, end in enumerate(ends)
        ]

    def _enrolled(self, i: int, samples: tuple[EnrolledSample, ...]) -> Enrolled:
        version, number, (digest, at) = self.versions[i], self.numbers[i], self.sealed[i]
        added = tuple(sample.id for sample in samples if sample.outcome == "added")
        hash_, before = self.hashes[i], self.previous[i]
        change = Change(version, "enroll", number, added, digest, before, hash_, at)
        return Enrolled(version, number, samples, change if hash_ else None)


def _within(by_place: Mapping[int, T], places: slice) -> dict[int, T]:
    """Return what is of these places, counted from the first of them."""
    start, stop = places.start, places.stop
    return {i - start: each for i, each in by_place.items() if start <= i < stop}
