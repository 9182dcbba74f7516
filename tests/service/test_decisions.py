from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from index.decision import Evidence, Identification
from models_store import ReadyEmbedding, Sample
from service.use_cases.decisions import Decisions, UnknownDecision


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def found(count, *, keep_samples=True):
    """Decisions on so many probes of a gallery that nobody is enrolled in."""
    nobody = Identification(
        *("unknown", None, None, None, 1.0, None, None, 0.05, None, "empty-gallery", ()),
        *(Evidence("bundle", 60, 0, None), "max", None, None, None, None),
    )
    settings = SimpleNamespace(keep_samples=keep_samples)
    replica = SimpleNamespace(
        name="staff",
        comparator=SimpleNamespace(digest="a" * 64),
        state=SimpleNamespace(settings=settings),
    )
    return SimpleNamespace(
        replica=replica,
        version=1,
        identities=0,
        indices=list(range(count)),
        results=[nobody] * count,
        embeddings=np.eye(count, dtype=np.float32),
    )


def samples(count, size=10, first=0):
    return [Sample(bytes([first + i]) * size, "image") for i in range(count)]


def alive(decisions, ids):
    kept = []
    for each in ids:
        try:
            kept.append(decisions.get(each).index)
        except UnknownDecision:
            kept.append(None)
    return kept


def test_the_newest_are_remembered_and_only_for_so_long():
    clock = Clock()
    decisions = Decisions(3, 60, 1000, clock)
    ids = decisions.keep("door", samples(2), found(2))
    clock.now = 30
    more = decisions.keep("door", samples(2, first=2), found(2))

    assert alive(decisions, [*ids, *more]) == [None, 1, 0, 1]
    clock.now = 61
    assert alive(decisions, [*ids, *more]) == [None, None, 0, 1]
    clock.now = 91
    assert alive(decisions, [*ids, *more]) == [None] * 4


def test_samples_take_so_much_room_at_most_and_none_where_the_gallery_keeps_none():
    decisions = Decisions(100, 60, 35)

    ids = decisions.keep(None, samples(4), found(4))
    [huge] = decisions.keep(None, samples(1, size=36), found(1))
    [bare] = decisions.keep(None, samples(1, first=9), found(1, keep_samples=False))

    assert alive(decisions, ids) == [None, 1, 2, 3]
    assert decisions.get(ids[3]).sample == samples(4)[3]
    assert decisions.get(huge).sample is decisions.get(bare).sample is None


def test_where_none_are_to_be_remembered_none_has_an_id():
    assert Decisions(0, 60, 1000).keep(None, samples(2), found(2)) == [None, None]


def test_decisions_on_the_same_probe_by_other_terms_have_other_ids():
    decisions, [probe] = Decisions(10, 60, 1000), samples(1)
    asked = {"target_fpir": 0.01}, {"threshold": 0.5}, {"rule": "mean"}, {"unknown_posterior": 0.5}
    usual = found(1)

    ids = [decisions.keep(None, [probe], usual)[0] for _ in range(2)]
    for terms in asked:
        other = found(1)
        other.results = [replace(usual.results[0], **terms)]
        ids += decisions.keep(None, [probe], other)

    assert ids[0] == ids[1]
    assert len(set(ids)) == 1 + len(asked)


def test_what_is_dropped_is_remembered_no_more():
    decisions = Decisions(10, 60, 1000)
    row = ReadyEmbedding(np.ones(2, np.float32))
    [one] = decisions.keep(None, [row], found(1))

    decisions.drop(one)
    decisions.drop(one)

    with pytest.raises(UnknownDecision):
        decisions.get(one)


def test_a_decision_has_one_name_and_is_told_to_each_caller_by_another():
    decisions, elsewhere = Decisions(10, 60, 1000), Decisions(10, 60, 1000)
    first = decisions.keep("door", samples(3), found(3))

    assert decisions.keep("door", samples(3), found(3)) == first
    assert elsewhere.keep("door", samples(3), found(3)) == first
    assert len({*first, *decisions.keep("gate", samples(3), found(3))}) == 6
