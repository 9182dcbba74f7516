"""What can go wrong with a call: an exception for each type of problem."""

import re

import pytest

from kindred.problems import Forbidden, KindredError, Problem, kinds, problem_of
from service.edge.problems import INTERNAL, PROBLEMS, slugs


def test_there_is_a_class_for_each_type_in_the_services_table_and_no_other():
    assert {cls.slug for cls in kinds()} == set(slugs()), "kindred/problems.py"


def test_each_class_is_named_for_its_type_and_knows_its_status():
    statuses = {kind.slug: kind.status for kind in (*PROBLEMS.values(), INTERNAL)}

    for cls in kinds():
        assert re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower() == cls.slug
        assert cls.usual_status == statuses.get(cls.slug, cls.usual_status)
        assert issubclass(cls, KindredError)


@pytest.mark.parametrize("error", PROBLEMS, ids=lambda error: error.__name__)
def test_what_the_service_writes_is_read_as_it_was_meant(error):
    told = PROBLEMS[error].problem("expected this, got that", "urn:request:1")

    problem = problem_of(told.model_dump(exclude_none=True), retry_after=2.0)

    assert (problem.slug, problem.status) == (PROBLEMS[error].slug, PROBLEMS[error].status)
    assert str(problem) == problem.detail == "expected this, got that"
    assert (problem.title, problem.instance) == (told.title, "urn:request:1")
    assert problem.retry_after == 2.0
    assert problem.document() == told.model_dump(exclude_none=True)


def test_a_type_that_a_newer_service_has_is_a_problem_all_the_same():
    problem = problem_of({"type": "/docs/problems.md#moon-full", "status": 418, "detail": "wait"})

    assert type(problem) is Problem
    assert (problem.status, problem.detail) == (418, "wait")


def test_problems_are_caught_as_what_they_are():
    with pytest.raises(KindredError) as caught:
        raise Forbidden("no")

    assert caught.value.status == 403
