"""Best scores followed change by change are those of a search afresh."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index import best_scores
from index.best_scores import BestScores
from index.gallery import Metric, Reference
from index.leave_one_out import LeaveOneOut
from index.numpy_gallery import NumpyGallery
from index.roster import Roster, Rule
from tests.index.circle import on_circle

RULES: tuple[Rule, ...] = ("max", "mean", "centroid")


def head(distances: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(10 * (distances - 0.5)))


class Counting(NumpyGallery):
    """A gallery that tells how many probes were searched for."""

    searched = 0

    def search(self, probes, k, *, exact=False):
        assert exact, "what thresholds rest on is searched exactly"
        self.searched += len(probes)
        return super().search(probes, k)


def enrolled(roster: Roster, **degrees: float) -> list[str]:
    start = roster.samples
    references = [Reference(start + i, name) for i, name in enumerate(degrees)]
    return roster.enroll(references, on_circle(*degrees.values()))


def test_only_the_probes_whose_best_identity_fell_are_searched_anew():
    gallery = Counting(2, "cosine")
    roster = Roster(lambda: gallery, head)
    enrolled(roster, ada=0, bob=90)
    best = BestScores("max", 2)
    best.admit(roster, on_circle(10, 60, 80), [None] * 3)
    gallery.searched = 0

    best.follow(roster, enrolled(roster, cid=72))
    assert gallery.searched == 0
    best.follow(roster, roster.forget([1]))  # bob, who was still the nearest to none

    assert gallery.searched == 0
    best.follow(roster, roster.forget([0]))
    assert gallery.searched == 1
    np.testing.assert_allclose(best.values, head(1 - np.cos(np.radians([62, 12, 8]))), atol=1e-6)


def test_an_owners_probe_is_not_compared_with_its_owner():
    roster = Roster(lambda: NumpyGallery(2, "cosine"), head)
    changed = enrolled(roster, ada=0, bob=60)
    best = BestScores("max", 2)

    best.admit(roster, on_circle(0), ["ada"])
    best.follow(roster, changed)

    np.testing.assert_allclose(best.values, head(1 - np.cos(np.radians([60]))), atol=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("likeness", [0.0, 1.0], ids=["alike", "nearly the same"])
def test_many_probes_have_the_scores_of_each_alone_to_the_last_bit(
    rule: Rule, metric: Metric, likeness: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Float32 may rule out whole blocks of identities, and never decides."""
    monkeypatch.setattr(best_scores, "_BLOCK", 3)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((90, 16)) * (1 - likeness) + 1e-4 * rng.standard_normal((90, 16))
    rows = (rows + likeness).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    roster = Roster(lambda: NumpyGallery(16, metric), head)
    roster.keep_centroids()
    owners = [f"id {i // 3}" for i in range(60)]
    roster.enroll(list(map(Reference, range(60), owners)), rows[:60])
    probes, theirs = rows[30:], [*owners[30:], *[None] * 30]

    together = BestScores(rule, 16)
    together.admit(roster, probes, theirs)

    for i, owner in enumerate(theirs):
        others = [name for name in roster.identities if name != owner]
        alone = roster.scores(probes[i : i + 1], others, rule).max()
        assert together.values[i] == alone


def test_who_is_left_alone_has_nobody_to_score():
    roster = Roster(lambda: NumpyGallery(2, "cosine"), head)
    enrolled(roster, ada=0, bob=60)
    best = BestScores("max", 2)
    best.admit(roster, on_circle(0), ["ada"])

    best.follow(roster, roster.forget([1]))

    assert best.values.tolist() == [-np.inf]


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    rule=st.sampled_from(RULES),
    metric=st.sampled_from(("cosine", "l2", "l1")),
)
def test_after_any_history_everything_is_as_if_worked_out_afresh(data, rule: Rule, metric: Metric):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    points = rng.standard_normal((60, 3))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    strangers = points[:8]
    roster = Roster(lambda: NumpyGallery(3, metric), head)
    roster.keep_centroids()
    followed, own = (
        BestScores(rule, 3),
        LeaveOneOut(rule, 3, trials=3, enough_strangers=1),
    )
    followed.admit(roster, strangers, [None] * 8)

    held: set[int] = set()
    key = 0
    for _ in range(data.draw(st.integers(1, 8))):
        if held and data.draw(st.booleans()):
            gone = data.draw(st.lists(st.sampled_from(sorted(held)), min_size=1, unique=True))
            held -= set(gone)
            changed = roster.forget(gone)
        else:
            owners = data.draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=5))
            keys = list(range(key, key + len(owners)))
            key += len(owners)
            held |= set(keys)
            rows = points[8 + np.array(keys) % 52]
            changed = roster.enroll(list(map(Reference, keys, owners)), rows)
        followed.follow(roster, changed)
        own.follow(roster, changed)

        afresh = np.full(8, -np.inf)
        if len(roster):
            afresh = roster.scores(strangers, roster.identities, rule).max(axis=1)
        np.testing.assert_array_equal(followed.values, afresh)  # to the last bit
        own_afresh = LeaveOneOut(rule, 3, trials=3, enough_strangers=1)
        own_afresh.follow(roster, roster.identities)
        np.testing.assert_array_equal(np.sort(own.strangers), np.sort(own_afresh.strangers))
        assert own.held_out == own_afresh.held_out
        for threshold in (0.2, 0.5, 0.9):
            assert own.misses(threshold) == own_afresh.misses(threshold)
