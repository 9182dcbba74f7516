"""Many samples to enroll: in batches of bounded size, and what became of each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kindred import calls
from kindred.answers import EnrollAnswer, EnrolledLine
from kindred.calls import Call
from kindred.problems import Problem, TooLarge, problem_of
from kindred.samples import Sample, document_of

Item = tuple[str, Sample] | tuple[str, Sample, Mapping[str, Any] | None]
"""An identity and a sample of it, and the identity's metadata if there is any."""

LINES = 256  # of one batch: the service embeds and writes 64 at a time
BATCH_BYTES = 4 * 2**20
LONG_LINE = 2**20  # bytes from which a sample goes by itself, so that no limit stops the others


@dataclass(frozen=True, slots=True)
class Line:
    """One sample to enroll; `index` is its place among all."""

    index: int
    identity: str
    sample: Mapping[str, Any]
    metadata: Mapping[str, Any] | None
    content: bytes

    def alone(self, gallery: str) -> Call[EnrollAnswer]:
        """Return the call that enrolls it by itself, once however often it is tried."""
        return calls.enroll(self.identity, self.sample, gallery=gallery, metadata=self.metadata)

    def done(self, answer: EnrollAnswer) -> EnrolledLine:
        """Return what became of it, by the answer to that call."""
        (kept,) = answer.samples
        odd = answer.warnings
        return EnrolledLine(
            self.index, answer.identity, kept.outcome, kept.id, answer.version, odd
        )

    def refused(self, problem: Problem) -> EnrolledLine:
        """Return what became of it, or raise a problem that is not the sample's own."""
        if not _of_the_sample(problem):
            raise problem
        return EnrolledLine(self.index, self.identity, "failed", problem=problem)


@dataclass(frozen=True, slots=True)
class Settled:
    """The lines that are done with, by their places; the others are to be sent by themselves."""

    version: int | None
    lines: Mapping[int, EnrolledLine]


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines that come one after the other."""

    lines: tuple[Line, ...]

    def call(self, gallery: str) -> Call[Settled]:
        """Return the call that enrolls all of them that are short, together."""
        together = [line for line in self.lines if len(line.content) <= LONG_LINE]

        def read_answer(content: bytes) -> Settled:
            told = [json.loads(answer) for answer in content.splitlines()]
            read = [_read(line, answer) for line, answer in zip(together, told, strict=False)]
            lines = {line.index: line for line in read if line is not None}
            versions = [line.version for line in lines.values() if line.version is not None]
            return Settled(max(versions, default=None), lines)

        contents = (line.content for line in together)
        return calls.enroll_bulk(contents, read_answer, gallery=gallery)


class Batches:
    """Items go in one by one; whenever a batch is full, it comes out."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._size = 0
        self._count = 0

    def add(self, item: Item) -> Batch | None:
        """Take an item, whose sample is read now; return a batch if one is full."""
        identity, sample = item[:2]
        metadata = item[2] if len(item) == 3 else None
        document = document_of(sample)
        said = {"identity": identity} | ({} if metadata is None else {"metadata": metadata})
        content = json.dumps(said | document, allow_nan=False).encode() + b"\n"
        self._lines.append(Line(self._count, identity, document, metadata, content))
        self._size += len(content)
        self._count += 1
        full = len(self._lines) == LINES or self._size >= BATCH_BYTES
        return self.rest() if full else None

    def rest(self) -> Batch | None:
        """Return what has not come out yet, or None if that is nothing."""
        lines, self._lines, self._size = tuple(self._lines), [], 0
        return Batch(lines) if lines else None


def _read(line: Line, answer: Mapping[str, Any]) -> EnrolledLine | None:
    """Return what became of a line, or None if that is not settled."""
    if answer["outcome"] == "failed":
        problem = problem_of(answer["problem"])
        # A line that is too long ends the body, and the answer is not that line's own.
        unsettled = isinstance(problem, TooLarge) or not _of_the_sample(problem)
        return None if unsettled else line.refused(problem)
    return EnrolledLine(
        line.index,
        answer["identity"],
        answer["outcome"],
        answer["id"],
        answer["version"],
        tuple(answer.get("warnings", ())),
    )


def _of_the_sample(problem: Problem) -> bool:
    """Whether a problem is one sample's, and the next may do better."""
    return problem.status in (400, 413, 415, 422)
