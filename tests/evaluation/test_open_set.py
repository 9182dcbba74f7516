from dataclasses import replace

import numpy as np
import pytest

from evaluation.open_set import draw_trial
from evaluation.open_set_figures import measure_open_set
from tests.evaluation.embedded import named, noise, perfect, two_sides


def rows_of(findings, **wanted):
    return [
        row
        for row in findings.open_set.rows
        if all(getattr(row, name) == value for name, value in wanted.items())
    ]


def measured(embedded, *, pair_threshold=0.9, sizes=(20,), **kwargs):
    return measure_open_set(named(embedded, **kwargs), pair_threshold, 0, sizes=sizes)


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


def test_who_has_no_sample_to_spare_is_a_stranger_and_never_enrolled():
    embedded = noise(80, 4)
    single = embedded.only((embedded.labels < 40) | (np.arange(320) % 4 == 0))

    trial = draw_trial(single, 20, "like-cohort", np.random.default_rng(0))

    assert set(single.labels[trial.references]) <= set(range(40))
    assert len(trial.mated) == 20 * 3


def test_as_served_takes_the_comparators_strangers_and_nobody_of_these():
    embedded = noise(40, 4)
    outside = noise(30, 1, seed=1).embeddings

    trial = draw_trial(embedded, 20, "as-served", np.random.default_rng(0), outside=outside)

    assert trial.cohort_embeddings is outside
    assert len(set(embedded.labels[trial.strangers])) == 20


def test_the_service_decides_as_these_figures_count():
    embedded = noise(120, 6, seed=3)
    samples = named(embedded)
    random = np.random.default_rng(0)
    wrong = np.zeros((2, 2))
    for _ in range(10):  # as many galleries of twenty as are drawn
        trial = draw_trial(samples.embedded, 20, "like-cohort", random)
        for role, errors in enumerate(trial.errors("max", target_fpir=0.05)):
            wrong[role] += errors.sum(), len(errors)

    [row] = [
        row
        for row in rows_of(measured(embedded, grouped=False), decision="served", samples=1)
        if row.asked == 0.05
    ]

    assert (row.fpir.value, row.fnir.value) == pytest.approx(tuple(wrong[:, 0] / wrong[:, 1]))


def test_a_perfect_embedding_misses_nobody_and_names_no_stranger():
    found = measured(perfect(60, 6))

    for row in rows_of(found, decision="served", strangers="like-cohort"):
        assert (row.fpir.value, row.fnir.value) == (0, 0)


def test_strangers_like_the_cohort_are_named_about_as_often_as_asked():
    found = measured(noise(240, 6))

    def fpir(decision, asked):
        [row] = rows_of(found, decision=decision, asked=asked, strangers="like-cohort", samples=1)
        return row.fpir.value

    assert fpir("served", 0.05) == pytest.approx(0.05, abs=0.025)
    assert fpir("oracle", 0.05) <= 0.05
    assert fpir("raw sigmoid", None) > 2 * fpir("served", 0.05)  # right for one pair, not twenty


def test_five_identities_with_one_sample_each_always_tie():
    found = measured(noise(100, 4), sizes=(5,))

    for row in rows_of(found, decision="tied vote", samples=1):
        assert (row.fpir.value, row.fnir.value) == (0, 1)


def test_galleries_larger_than_the_data_are_named_and_not_measured():
    found = measured(noise(60, 6), sizes=(20, 400))

    assert {row.identities for row in found.open_set.rows} == {20}
    assert any("N = 400" in reason for reason in found.open_set.too_few)
    assert found.posterior.too_few == ("no posterior: the comparator was not calibrated for one",)


def test_the_comparators_own_cohort_comes_first_where_there_is_one():
    outside = noise(60, 1, seed=1).embeddings

    found = measured(noise(60, 6), cohort=outside)

    assert found.open_set.rows[0].strangers == "as-served"
    assert "as-served" in found.setting


@pytest.mark.parametrize("probes", ["a", "b"])
def test_of_two_encoders_one_side_is_enrolled_and_the_other_asks(probes):
    embedded = two_sides(80, 3, 4)

    trial = draw_trial(embedded, 12, "like-cohort", np.random.default_rng(0), 2, probes=probes)

    asks = probes == "b"
    assert (embedded.of_b[trial.references] != asks).all()
    for rows in (trial.mated, trial.strangers, trial.cohort):
        assert (embedded.of_b[rows] == asks).all()
    enrolled, unknown, cohort = (
        set(embedded.labels[rows]) for rows in (trial.references, trial.strangers, trial.cohort)
    )
    assert set(embedded.labels[trial.mated]) == enrolled
    assert enrolled.isdisjoint(unknown | cohort)
    assert unknown.isdisjoint(cohort)
    assert len(trial.references) == 12 * 2
    assert not trial.own_trials


def test_who_has_nothing_of_the_asking_side_takes_no_part():
    embedded = two_sides(80)
    without = embedded.only(embedded.of_b | (embedded.labels < 60))

    trial = draw_trial(without, 12, "like-cohort", np.random.default_rng(0), probes="a")

    for rows in (trial.references, trial.strangers, trial.cohort):
        assert without.labels[rows].max() < 60
    assert len(trial.cohort) == 20


def test_of_two_encoders_strangers_are_named_as_often_as_asked_in_either_direction():
    findings = measured(two_sides(200, spread=1.0), grouped=False, sizes=(50,))

    for probes in "ab":
        (row,) = rows_of(findings, probes=probes, decision="served", asked=0.05, samples=1)
        low, high = row.fpir.interval
        assert low <= 0.05 <= high
        assert row.fnir.value > 0


def test_each_side_is_judged_by_strangers_of_its_own():
    embedded = two_sides(60)
    samples = named(embedded, grouped=False, cohort=two_sides(40, seed=1).embeddings[:40])
    only_b = replace(samples, served=replace(samples.served, cohort=samples.served.cohort[:0]))

    findings = measure_open_set(only_b, None, 0, sizes=(20,))

    asked = {row.probes for row in rows_of(findings, strangers="as-served")}
    assert asked == {"b"}
