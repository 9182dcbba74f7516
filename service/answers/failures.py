"""Items of a request that could not be used."""

from typing import Self

from pydantic import BaseModel

from service.edge.problems import Problem, problem_of


class Failure(BaseModel):
    """One item of a request that could not be used, while the others were."""

    index: int
    problem: Problem

    @classmethod
    def of(cls, failures: dict[int, Exception]) -> list[Self]:
        """Return each item's problem, in order."""
        return [cls(index=i, problem=problem_of(error)) for i, error in sorted(failures.items())]
