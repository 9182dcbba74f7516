"""The promises are measured as they are told: on whom, and by counting."""

import math
from dataclasses import replace

import numpy as np
import pytest

from evaluation.promises import (
    KINDS,
    Cell,
    Found,
    Further,
    calibrated,
    gallery,
    main,
    split_identities,
    table,
)
from index.decision import CandidateIdentity, Evidence, Identification
from tests.evaluation.embedded import noise


@pytest.fixture(scope="module")
def embedded():
    return noise(500, 3, spread=0.3)


def answer(identity: str, score: float, p_value: float, posterior: float) -> Identification:
    return Identification(
        outcome="unknown",
        identity=None,
        score=score,
        posterior=posterior,
        unknown_posterior=1 - posterior,
        p_value=p_value,
        threshold=0.5,
        target_fpir=0.05,
        expected_fnir=0.25,
        reason="below-threshold",
        candidates=(CandidateIdentity(identity, score, 0.1, posterior, ()),),
        evidence=Evidence("bundle", 99, 0, None),
        rule="max",
        runner_up=None,
        margin=None,
        posterior_reason=None,
        expected_fnir_reason=None,
    )


def test_rates_are_counted_by_hand():
    cell = Cell()
    answers = [
        answer("ada", 0.9, 0.01, 0.95),  # right, and named
        answer("bob", 0.8, 0.02, 0.5),  # ada, taken for bob
        answer("ada", 0.7, 0.03, 0.9),  # a stranger, named
        answer("bob", 0.1, 0.90, 0.1),  # a stranger, not named
    ]

    strangers = np.array([0.7, 0.1, 0.75, 0.2])  # of these, the oracle keeps out all but one
    found = Found.of(answers, ["ada", "ada", None, None], strangers, {0.05: 0.65})

    cell.add(found)
    cell.add_stated(found)

    assert (cell.named[0.05], cell.missed[0.05], cell.least[0.05]) == ([0.5], [0.5], [0.5])
    assert cell.named[0.01] == []
    assert cell.sure == [(1, 2, 4)]
    told = table("like", 1, {2: cell})
    assert "| expected FNIR by observed | 0.500 (0.500–0.500) |" in told
    assert f"| ECE | {(0.05 + 0.5 + 0.9 + 0.1) / 4:.3f} (" in told
    assert "| stated ≥ .9: right | 0.500 (0.500–0.500) |" in told
    assert "| stated ≥ .9: share | 0.500 (0.500–0.500) |" in told


@pytest.mark.parametrize("kind", KINDS)
def test_no_identity_has_two_roles_and_kin_share_no_group_with_the_cohort(kind, embedded):
    split = split_identities(replace(embedded, groups=embedded.labels % 5), kind, "max", seed=1)

    assert not set(split.cohort) & set(split.rest)
    assert len(split.cohort) + len(split.rest) == 500
    if kind != "like":
        assert not {i % 5 for i in split.cohort} & {i % 5 for i in split.rest}


def test_a_gallery_is_answered_for_the_enrolled_and_as_many_strangers(embedded):
    split = calibrated(split_identities(embedded, "like", "max", seed=0), None, seed=0)

    found = gallery(split, "like", enrolled=20, samples=2, seed=0)

    assert found.known.sum() * 2 == len(found.known)
    assert list(found.thresholds) == [0.05, 0.01]
    assert len(found.strangers) == 3 * (500 - 190 - 20)  # every sample of every stranger
    assert found.right[found.known].mean() > 0.5
    assert not found.right[~found.known].any()
    assert not np.isnan(found.posterior).any()
    assert gallery(split, "like", enrolled=305, samples=1, seed=0) is None  # no strangers left


def test_further_identities_are_taken_only_from_the_cohorts(embedded):
    more = noise(6, 2)
    further = Further(more, np.repeat([0, 1, 2], 4))

    assert further.made_from(np.array([1])).identities == 2


@pytest.mark.slow
def test_the_command_prints_a_table_for_each_kind(tmp_path, monkeypatch, capsys):
    some = noise(430, 2, spread=0.3)
    np.savez(
        tmp_path / "samples.npz",
        embeddings=some.embeddings,
        identities=some.labels.astype(str),
        groups=(some.labels % 20).astype(str),
    )
    command = ["promises", str(tmp_path / "samples.npz"), "--splits", "1", "--galleries", "1"]
    monkeypatch.setattr("sys.argv", command)
    monkeypatch.setattr("evaluation.promises.SIZES", (5, 400))
    monkeypatch.setattr("evaluation.promises.SAMPLES", (1,))

    main()

    told = capsys.readouterr().out
    assert [line.split(",")[0] for line in told.splitlines() if ": N" in line] == [
        "| like",
        "| kin",
        "| own cohort",
    ]
    assert not math.isnan(float(told.split("FPIR, asked 0.05 | ")[1].split(" (")[0]))
