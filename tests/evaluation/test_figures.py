import numpy as np
import pytest
from tests.training.test_pairs import noise

from evaluation.figures import clustering, controls, evaluate, one_shot, open_set
from evaluation.open_set import draw_trial
from evaluation.pairs import Embedded


def perfect(identities=24, samples=4):
    labels = np.repeat(np.arange(identities), samples)
    return Embedded(
        np.eye(identities, dtype=np.float32)[labels],
        labels,
        labels % 2,
        np.tile(np.arange(samples), identities).astype(str),
        "cosine",
        lambda distances: 1 - distances,
    )


def random(identities=40, samples=6):
    return noise(identities, samples, spread=1e6)


def value(figures, name):
    (figure,) = (figure for figure in figures if figure.name == name)
    return figure.value


def test_one_shot_of_a_perfect_embedding_is_always_right():
    (figure,) = one_shot(perfect(), 0, within_groups=False, ways=20, trials=20)

    assert figure.value == 1
    assert figure.interval == (1, 1)


def test_one_shot_of_a_random_embedding_is_right_once_in_n():
    (figure,) = one_shot(random(), 0, within_groups=False, ways=20, trials=300)

    assert figure.value == pytest.approx(1 / 20, abs=0.015)


def test_one_shot_within_groups_leaves_out_groups_that_are_too_small():
    assert [*one_shot(perfect(24), 0, within_groups=True, ways=20)] == []
    assert len([*one_shot(perfect(40), 0, within_groups=True, ways=20, trials=4)]) == 1


def test_no_identity_has_two_roles_in_a_trial():
    embedded = noise(80, 8)

    for strangers in ("like-cohort", "kin"):
        trial = draw_trial(embedded, 12, strangers, np.random.default_rng(0), samples=2)

        enrolled, unknown, cohort = (
            set(embedded.labels[rows])
            for rows in (trial.references, trial.strangers, trial.cohort)
        )
        assert set(embedded.labels[trial.mated]) == enrolled
        assert not set(trial.mated) & set(trial.references)
        assert enrolled.isdisjoint(unknown | cohort)
        assert unknown.isdisjoint(cohort)


def test_kin_strangers_share_groups_with_the_enrolled_and_not_with_the_cohort():
    embedded = noise(80, 8)

    trial = draw_trial(embedded, 12, "kin", np.random.default_rng(0))

    groups = {
        role: set(embedded.groups[getattr(trial, role)])
        for role in ("references", "strangers", "cohort")
    }
    assert groups["references"] == groups["strangers"]
    assert groups["cohort"].isdisjoint(groups["references"])


def test_a_perfect_embedding_misses_nobody_and_names_no_stranger():
    figures = [*open_set(perfect(60, 6), 20, "like-cohort", 0, trials=3)]

    assert value(figures, "fnir@fpir=0.05, N=20, like-cohort strangers") == 0
    assert value(figures, "fpir@fpir=0.05, N=20, like-cohort strangers") == 0


def test_strangers_like_the_cohort_are_named_about_as_often_as_asked():
    figures = [*open_set(noise(240, 6), 20, "like-cohort", 0, trials=6)]

    fpir = value(figures, "fpir@fpir=0.05, N=20, like-cohort strangers")
    fixed = value(figures, "fpir@fpir=0.05, N=20, like-cohort strangers, fixed pair threshold")
    assert fpir == pytest.approx(0.05, abs=0.025)
    assert fixed > 2 * fpir  # what holds for one pair does not hold for twenty


def test_galleries_larger_than_the_data_yield_nothing():
    assert [*open_set(noise(30, 6), 50, "like-cohort", 0)] == []


def test_linkage_finds_perfect_clusters_again():
    figures = [*clustering(perfect(20, 6), 0, trials=2)]

    assert value(figures, "ari of linkage") == 1


def test_the_same_seed_gives_the_same_figures_and_controls_are_named_so():
    embedded = noise(40, 6)

    assert evaluate(embedded, seed=3) == evaluate(embedded, seed=3)
    assert all(figure.name.endswith(", untrained encoder") for figure in controls(embedded, 3))
