"""Enrollments in columns are those that they were made of, whole or in parts."""

import hashlib

import numpy as np

from models_store import Sample
from service.store.errors import NotDurable
from service.store.intake import Admitted, Intake
from service.store.kept import Change, Enrolled, EnrolledSample, Enrollment, NewSample

WIDTH = 2


def sample(number: int, original: bytes | None = None) -> NewSample:
    row = np.full(WIDTH, number, np.float32)
    kept = Sample(original) if original else None
    return NewSample(hashlib.sha256(row.tobytes()).hexdigest(), row, original=kept)


def enrollments() -> list[Enrollment]:
    """Of one to three samples each, some with a key."""
    asked = [[0], [1, 2, 3], [4, 5], [6]]
    return [
        Enrollment("g", "d", f"id-{i}", [sample(n) for n in numbers], {"of": i}, key)
        for i, (numbers, key) in enumerate(zip(asked, ["k", None, "l", None], strict=True))
    ]


def whole(part: Intake) -> list[tuple[str, object, str | None, list[float]]]:
    """Who is enrolled, how they are described, with which key, and with which samples."""
    rows = np.split(part.embeddings[:, 0], np.cumsum(part.counts)[:-1])
    columns = zip(part.identities, part.metadata, part.keys, rows, strict=True)
    return [(name, about, key, row.tolist()) for name, about, key, row in columns]


def test_parts_are_all_of_it_in_order() -> None:
    intake = Intake.of(enrollments())

    for most, most_bytes in ((1, 10**6), (3, 10**6), (100, 3 * WIDTH * 4), (100, 10**6)):
        parts = list(intake.parts(most, most_bytes))
        assert [one for part in parts for one in whole(part)] == whole(intake)
        assert [p for part in parts for p in part.fingerprints] == intake.fingerprints
        assert all(len(part) <= most for part in parts)
        assert all(len(part) == 1 or part.embeddings.nbytes <= most_bytes for part in parts)


def test_what_lies_beside_a_sample_goes_with_it_and_counts() -> None:
    kept = [Enrollment("g", "d", f"id-{i}", [sample(i, b"x" * 100)]) for i in range(3)]

    parts = list(Intake.of(kept).parts(100, 250))

    assert [len(part) for part in parts] == [2, 1]
    assert [list(part.originals) for part in parts] == [[0, 1], [0]]


def test_only_what_has_a_key_has_a_payload_and_it_is_that_of_the_enrollment() -> None:
    asked = enrollments()

    payloads = Intake.of(asked).payloads

    assert payloads == [asked[0].payload, "", asked[2].payload, ""]


def test_what_became_of_parts_is_told_in_the_order_of_the_whole() -> None:
    first, second = Intake.of(enrollments()).parts(2, 10**6)
    done = Admitted(
        versions=[1, 2],
        numbers=[1, 2],
        counts=first.counts,
        ids=[1, 2, 1, 3],
        added=[True, True, False, True],
        hashes=["one", ""],
        previous=["none", ""],
        sealed=[("d", "7")] * 2,
    )
    lost = NotDurable("not on the disk")

    told = done.followed_by(Admitted.none(second, lost)).each()

    added = EnrolledSample(1, "added")
    change = Change(1, "enroll", 1, (1,), "d", "none", "one", "7")
    assert told[0] == Enrolled(1, 1, (added,), change)
    assert isinstance(told[1], Enrolled)
    assert [each.outcome for each in told[1].samples] == ["added", "duplicate", "added"]
    assert told[1].change is None
    assert told[2:] == [lost, lost]
