"""What answers of several kinds say alike."""

from typing import Self

from pydantic import BaseModel

from service.embedding import Timings
from service.problems import Problem, problem_of


class Failure(BaseModel):
    """One item of a request that could not be used, while the others were."""

    index: int
    problem: Problem

    @classmethod
    def of(cls, failures: dict[int, Exception]) -> list[Self]:
        """Return each item's problem, in order."""
        return [cls(index=i, problem=problem_of(error)) for i, error in sorted(failures.items())]


class Timed(BaseModel):
    """An answer that tells where its time went, in milliseconds by stage."""

    timings_ms: dict[str, float]


def milliseconds(timings: Timings) -> dict[str, float]:
    """Return what each stage took, as clients read it."""
    return {stage: round(seconds * 1000, 3) for stage, seconds in timings.items()}
