"""What seems wrong with a gallery is what was done to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from index.gallery import NotFinite, Reference
from index.health import examine, unjudged
from index.mixtures import label_noise, one_thing

DIMENSION = 16


def score(distances: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(10 * (distances - 0.5)))


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def world(seed: int, identities: int = 60, samples: int = 8) -> tuple[list[str], np.ndarray]:
    """Names and embeddings of well separated identities, unit vectors, identity by identity."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((identities, 1, DIMENSION)))
    rows = unit(centres + 0.08 * rng.standard_normal((identities, samples, DIMENSION)))
    names = [f"{identity:03d}" for identity in range(identities) for _ in range(samples)]
    return names, rows.reshape(-1, DIMENSION)


def check(names, rows, *, metric="cosine", **options):
    references = [Reference(key, name) for key, name in enumerate(names)]
    return examine(references, rows, score, metric=metric, **options)


def test_a_gallery_in_order_has_next_to_no_wrong_names():
    found = check(*world(0))

    assert (found.identities, found.samples, found.judged) == (60, 480, 60)
    assert found.mislabelled == ()
    assert found.noise < 0.01
    assert found.few == ()


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
def test_wrong_names_are_found_with_whose_they_rather_are(metric):
    names, rows = world(1)
    rng = np.random.default_rng(1)
    wrong = rng.permutation(len(names))[:24]
    truth = {int(i): names[i] for i in wrong}
    for i in wrong:
        names[i] = f"{(int(names[i]) + rng.integers(1, 60)) % 60:03d}"

    found = check(names, rows, metric=metric)

    told = {each.key: each for each in found.mislabelled}
    assert len(told.keys() & truth.keys()) >= 22
    assert len(told.keys() - truth.keys()) <= 2
    for key in told.keys() & truth.keys():
        assert told[key].identity == names[key]
        assert told[key].rather == truth[key]
        assert told[key].rather_score > told[key].score
        assert told[key].probability >= 0.5
    assert 0.03 < found.noise < 0.07


def test_the_less_likely_are_ranked_after_the_likely_where_they_are_asked_for():
    names, rows = world(1)
    for i in range(0, len(names), 40):
        names[i] = f"{(int(names[i]) + 7) % 60:03d}"

    likely, ranked = check(names, rows), check(names, rows, least=0, limit=50)

    for some, more in (
        (likely.mislabelled, ranked.mislabelled),
        (likely.duplicates, ranked.duplicates),
    ):
        assert len(more) == 50
        assert tuple(each for each in more if each.likely) == some
        probabilities = [each.probability for each in more]
        assert probabilities == sorted(probabilities, reverse=True)
    assert likely.mislabelled


def test_the_probability_of_a_wrong_name_ranks_and_counts_them():
    rng = np.random.default_rng(2)
    far = rng.uniform(0, 3, (3000, 31))
    far[:, 0] -= 0.5  # of whom a sample is most often, as softmax(-6 · distance) has it
    truth = (-6 * far + rng.gumbel(size=far.shape)).argmax(axis=1)
    wrong = rng.random(3000) < 0.1
    name = np.where(wrong, (truth + rng.integers(1, 31, 3000)) % 31, truth)
    named = np.arange(31) == name[:, None]
    margins = far[named][:, None] - far[~named].reshape(3000, 30)

    noise, probability = label_noise(margins, others=30)

    assert noise == pytest.approx(0.1, abs=0.02)
    assert roc_auc_score(wrong, probability) > 0.95
    assert probability.mean() == pytest.approx(wrong.mean(), abs=0.02)
    likely = probability > 0.9
    assert wrong[likely].mean() == pytest.approx(probability[likely].mean(), abs=0.05)


def test_the_probability_of_one_thing_ranks_and_counts_them():
    rng = np.random.default_rng(9)
    look_alikes = -5 + 2 * np.abs(rng.standard_normal(300))
    pairs = np.concatenate([rng.standard_normal(60), look_alikes, rng.uniform(-30, -5, 2000)])
    truth = np.arange(len(pairs)) < 60

    probability = one_thing(pairs, least=-5.0)

    order = np.argsort(pairs)
    assert (np.diff(probability[order]) >= 0).all()
    assert (probability[pairs < -5] == 0).all()
    assert probability.sum() == pytest.approx(60, rel=0.2)
    listed = probability >= 0.5
    assert truth[listed].mean() == pytest.approx(probability[listed].mean(), abs=0.07)


def test_nobody_near_is_nobody_that_is_one():
    assert one_thing(np.array([-9.0, -7.0]), least=-5.0).tolist() == [0, 0]
    assert one_thing(np.empty(0), least=-5.0).tolist() == []


def test_an_identity_that_others_lie_around_is_a_hub():
    rng = np.random.default_rng(5)
    centres = unit(np.concatenate([np.ones((1, 16)), 1 + 1.1 * rng.standard_normal((40, 16))]))
    rows = unit(centres[:, None] + 0.01 * rng.standard_normal((41, 3, 16))).reshape(-1, 16)
    names = [f"{identity:03d}" for identity in range(41) for _ in range(3)]

    found = check(names, rows)

    hub = found.hubs[0]
    assert hub.identity == "000"
    assert len(hub.nearest_to) >= 6
    assert hub.q_value <= 0.05
    assert 0 < hub.mean_score < 1


def test_an_identity_unlike_itself_is_a_goat():
    names, rows = world(6)
    rng = np.random.default_rng(6)
    rows[:8] = unit(rng.standard_normal((8, DIMENSION)))  # identity 000 is anything

    found = check(names, rows)

    assert [goat.identity for goat in found.goats] == ["000"]
    assert set(found.goats[0].missed) <= set(range(8))
    assert len(found.goats[0].missed) >= 3


def test_identities_with_too_few_samples_are_listed_fewest_first():
    names, rows = world(7)
    names[0:8] = ["many"] * 5 + ["two", "two", "one"]

    found = check(names, rows)

    assert found.few == (("one", 1), ("two", 2))
    assert check(names, rows, few=2).few == (("one", 1),)
    assert check(names, rows, limit=1).few == (("one", 1),)


@pytest.mark.parametrize("identities", [0, 1, 2, 19])
def test_too_few_identities_are_too_few_to_say(identities):
    names, rows = world(8, max(identities, 1))
    found = check(names[: 8 * identities], rows[: 8 * identities])

    assert found.judged == identities
    assert (found.mislabelled, found.duplicates, found.goats, found.noise) == (None,) * 4


def test_a_gallery_of_single_samples_is_too_little_to_say_of_names_and_twins():
    names, rows = world(9, identities=100, samples=1)

    found = check(names, rows)

    assert (found.identities, found.judged) == (100, 0)
    assert found.duplicates is None
    assert len(found.few) == 100


def test_a_gallery_of_equal_samples_is_all_one():
    names, rows = world(10, identities=25)
    rows[:] = rows[0]

    found = check(names, rows, limit=30)

    assert len(found.duplicates) == 30
    assert {each.p_value for each in found.duplicates} == {1.0}
    assert min(each.probability for each in found.duplicates) > 0.99
    assert found.mislabelled == ()


def test_embeddings_that_are_not_finite_are_refused():
    names, rows = world(11)
    rows[5] = np.nan

    with pytest.raises(NotFinite):
        check(names, rows)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999))
def test_the_order_of_enrollment_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    names, rows = world(seed, identities=30, samples=4)
    for i in rng.permutation(len(names))[:6]:
        names[i] = f"{rng.integers(30):03d}"
    references = [Reference(key, name) for key, name in enumerate(names)]
    order = rng.permutation(len(names))

    straight = examine(references, rows, score, metric="cosine")
    shuffled = examine([references[i] for i in order], rows[order], score, metric="cosine")

    assert straight == shuffled


def test_where_references_are_not_compared_only_their_number_is_told():
    references = [Reference(key, f"id {key // 2}") for key in range(9)]

    found = unjudged(references, few=2)

    assert (found.identities, found.samples, found.judged) == (5, 9, 0)
    assert (found.hubs, found.goats, found.duplicates, found.mislabelled) == (None,) * 4
    assert found.few == (("id 4", 1),)
