"""The values that a store takes and gives."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.store.kept import Change, Enrollment, NewSample

CHANGE = Change(
    version=1,
    operation="enroll",
    identity=2,
    samples=(3, 4),
    digest="d",
    previous="p",
    # printf 'p|1|enroll|2|3 4|d' | sha1sum
    hash="94a6df2262aec2bde5b69a31bca36133afc386d9",
)


def enrollment(**differing: object) -> Enrollment:
    sample = NewSample("f" * 64, np.ones(2, np.float32))
    asked: dict[str, object] = {"metadata": {"a": 1, "b": 2}, "idempotency_key": "k", **differing}
    fixed: dict[str, object] = {"gallery": "g", "digest": "d", "identity": "Ada"}
    return Enrollment(**{**fixed, "samples": [sample], **asked})  # type: ignore[arg-type]  # a mix


def test_a_change_is_intact_only_as_it_was_sealed() -> None:
    assert CHANGE.is_intact()
    assert not replace(CHANGE, version=2).is_intact()
    assert not replace(CHANGE, operation="cohort").is_intact()
    assert not replace(CHANGE, identity=3).is_intact()
    assert not replace(CHANGE, samples=(3,)).is_intact()
    assert not replace(CHANGE, samples=(34,)).is_intact()
    assert not replace(CHANGE, digest="e").is_intact()
    assert not replace(CHANGE, previous="q").is_intact()


def test_a_fingerprint_is_a_sha256() -> None:
    for wrong in ("1", "f" * 63, "f" * 66, "g" * 64, ""):
        with pytest.raises(ValueError, match=r"SHA-256|hex"):
            NewSample(wrong, np.ones(2, np.float32))


def test_the_same_enrollment_sent_again_is_the_same_payload() -> None:
    again = enrollment(metadata={"b": 2, "a": 1}, idempotency_key="another")
    by_another_comparator = enrollment(digest="e")

    assert again.payload == by_another_comparator.payload == enrollment().payload


def test_an_enrollment_that_asks_for_something_else_is_another_payload() -> None:
    other = NewSample("e" * 64, np.ones(2, np.float32))
    one = enrollment()

    others = [
        enrollment(identity="Bea"),
        enrollment(metadata=None),
        enrollment(metadata={}),
        enrollment(samples=[other]),
        enrollment(samples=[*one.samples, other]),
        enrollment(samples=[other, *one.samples]),
    ]

    assert len({one.payload, *(asked.payload for asked in others)}) == 1 + len(others)


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))
def test_no_two_identities_share_a_payload(a: str, b: str, c: str, d: str) -> None:
    payloads = {enrollment(identity=x, metadata={y: 1}).payload for x, y in {(a, b), (c, d)}}

    assert len(payloads) == len({(a, b), (c, d)})
