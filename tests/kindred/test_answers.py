"""Frozen answers, and how JSON becomes them."""

import dataclasses
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindred import answers
from kindred.problems import UndecodableInput, UnexpectedAnswer
from kindred.reading import read, write
from tests.promises.openapi import document

CLASSES = {name: getattr(answers, name) for name in answers.__all__}
OWN = {"EnrolledLine"}  # of enroll_many: a line of a stream, which openapi.yaml cannot describe
SCHEMAS = document()["components"]["schemas"]


@pytest.mark.parametrize("name", sorted(set(CLASSES) - OWN))
def test_an_answer_has_the_fields_that_the_service_declares(name):
    fields = {field.name for field in dataclasses.fields(CLASSES[name])}

    assert fields == set(SCHEMAS[name]["properties"]), f"kindred/answers: {name}"


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_an_answer_cannot_be_changed(name):
    cls = CLASSES[name]
    fields = dataclasses.fields(cls)
    answer = cls(**dict.fromkeys((field.name for field in fields), None))

    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(answer, fields[0].name, 1)


def test_what_is_nested_is_read_to_the_last_field():
    told = {
        "gallery": "letters",
        "identity": "alpha",
        "samples": [{"id": "7", "index": 1, "outcome": "added"}],
        "version": 3,
        "warnings": ["odd"],
        "failures": [
            {
                "index": 0,
                "problem": {
                    "type": "/docs/problems.md#undecodable-input",
                    "title": "A sample cannot be decoded",
                    "status": 422,
                    "detail": "expected an image",
                },
            }
        ],
        "timings_ms": {"decode": 1.5},
    }

    answer = read(answers.EnrollAnswer, told)

    assert answer.samples == (answers.EnrolledSample("7", 1, "added"),)
    assert isinstance(answer.failures[0].problem, UndecodableInput)
    assert write(answer) == told


def test_fields_of_a_newer_service_are_passed_over():
    assert read(answers.Alive, {"alive": True, "since": 3}) == answers.Alive(True)


def test_fields_that_an_older_service_has_not_are_none_where_they_may_be():
    told = {"rule": "max", "target_fpir": 0.1}

    assert read(answers.Settings, told) == answers.Settings("max", 0.1, None)
    with pytest.raises(UnexpectedAnswer, match="'alive'"):
        read(answers.Alive, {})


@pytest.mark.parametrize(
    "told", [{}, {"alive": "yes"}, [], "alive", None, 3, {"alive": None}], ids=json.dumps
)
def test_what_is_no_answer_is_told_as_unexpected(told):
    with pytest.raises(UnexpectedAnswer, match="Alive"):
        read(answers.Alive, told)


def test_a_moment_is_read_with_its_zone():
    told = {"id": "1", "created": "2026-11-22T21:29:57.786000Z"}

    sample = read(answers.StoredSample, told)

    assert sample.created == datetime(2026, 11, 22, 21, 29, 57, 786000, tzinfo=UTC)


@given(
    st.lists(
        st.builds(
            answers.ClusterOfSamples,
            id=st.integers(),
            size=st.integers(),
            members=st.lists(st.integers()).map(tuple) | st.lists(st.text()).map(tuple),
            medoid=st.integers() | st.text(),
            mean_score=st.none() | st.floats(allow_nan=False),
        )
    )
)
def test_writing_and_reading_an_answer_changes_nothing(clusters):
    answer = answers.ClusterAnswer(
        "ink@1", "linkage", 0.5, None, (0, None), tuple(clusters), (), {}
    )

    told = json.loads(json.dumps(write(answer)))

    assert read(answers.ClusterAnswer, told) == answer
