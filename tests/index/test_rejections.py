import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from index import Identifier, NumpyGallery, Reference
from index.rejections import rejected


def at(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_who_is_nearer_to_one_that_was_rejected_than_to_the_identity_in_the_mean_is_rejected():
    own = at(0, 10)

    assert rejected(at(31)[0], own, at(50), "cosine")
    assert not rejected(at(26)[0], own, at(50), "cosine")


@given(st.lists(st.floats(-180, 180), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_one_rejection_more_never_lets_anybody_in_again(others, seed):
    rng = np.random.default_rng(seed)
    probe, own = at(rng.uniform(0, 360))[0], at(*rng.uniform(0, 360, 3))
    states = [rejected(probe, own, at(*others[:n]), "cosine") for n in range(1, len(others) + 1)]

    assert states == sorted(states)


def test_a_rejected_first_candidate_is_not_named_and_the_others_keep_their_figures():
    index = Identifier(
        lambda: NumpyGallery(2, "cosine"), lambda far: 1 / (1 + np.exp(20 * far - 3)), at(180, 200)
    )
    index.enroll([Reference(1, "Ada"), Reference(2, "Bea")], at(0, 90))
    [before, other] = index.identify(at(12, 85), target_fpir=0.4)

    index.reject({"Ada": at(20)})
    [after, same] = index.identify(at(12, 85), target_fpir=0.4)
    index.reject({})
    [again, _] = index.identify(at(12, 85), target_fpir=0.4)

    assert (before.outcome, before.identity) == ("match", "Ada")
    assert (after.outcome, after.identity, after.reason) == ("unknown", None, "rejected-before")
    assert (after.candidates, after.p_value) == (before.candidates, before.p_value)
    assert same == other
    assert again == before
