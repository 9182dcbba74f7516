"""Calibration by simulated galleries: what it promises of new identities."""

import numpy as np
import pytest

from index.calibration import calibrate
from index.faiss_gallery import FaissGallery
from index.gallery import Reference
from index.identification import Identifier
from index.roster import Rule


def head(distances: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(20 * (distances - 0.3)))


def world(rng: np.random.Generator, identities: int, samples: int) -> np.ndarray:
    def unit(vectors: np.ndarray) -> np.ndarray:
        return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)

    centres = unit(rng.standard_normal((identities, 1, 12)))
    return unit(centres + 0.2 * rng.standard_normal((identities, samples, 12)))


@pytest.mark.parametrize("rule", ["max", "centroid"])
def test_posteriors_and_expected_misses_are_met_by_identities_not_seen(rule: Rule):
    rng = np.random.default_rng(5)
    strangers = world(rng, 100, 1)[:, 0]
    held_out = world(rng, 150, 5)
    model, genuine = calibrate(
        held_out.reshape(-1, 12),
        [str(i) for i in range(150) for _ in range(5)],
        head,
        metric="cosine",
        rule=rule,
        galleries=60,
    )

    stated, right, expected, missed = [], [], [], []
    for _ in range(20):
        enrolled = world(rng, 40, 3)
        identifier = Identifier(
            lambda: FaissGallery(12, "cosine"),
            head,
            strangers,
            rule=rule,
            posterior=model,
            genuine=genuine,
        )
        references = [Reference(i, str(i // 2)) for i in range(80)]
        identifier.enroll(references, enrolled[:, :2].reshape(-1, 12))
        probes = np.concatenate([enrolled[:, 2], world(rng, 40, 1)[:, 0]])
        for i, found in enumerate(identifier.identify(probes, top=1, k=1)):
            stated.append(found.posterior)
            right.append(found.candidates[0].identity == str(i))
            if i < 40:
                expected.append(found.expected_fnir)
                missed.append(found.identity != str(i))

    stated, right = np.array(stated), np.array(right)
    bins = np.digitize(stated, [0.2, 0.4, 0.6, 0.8])
    gaps = [abs((stated - right)[bins == b].sum()) for b in range(5)]
    assert sum(gaps) / len(stated) < 0.05
    assert right[stated >= 0.9].mean() > 0.85
    assert np.mean(expected) == pytest.approx(np.mean(missed), abs=0.06)


def test_too_few_identities_are_refused():
    rows = world(np.random.default_rng(0), 10, 3).reshape(-1, 12)

    with pytest.raises(ValueError, match="at least 20 identities"):
        calibrate(rows, [str(i // 3) for i in range(30)], head, metric="cosine")


def test_a_calibration_can_be_made_again_to_the_bit():
    rows = world(np.random.default_rng(0), 30, 3).reshape(-1, 12)
    identities = [str(i // 3) for i in range(90)]

    first, again = (calibrate(rows, identities, head, metric="l2", galleries=20) for _ in range(2))

    assert first[0] == again[0]
    assert first[0].identities == (1, 22)
    assert sorted(first[1].by_samples) == [1, 2]


def test_further_identities_make_galleries_larger_than_the_held_out_ones_allow():
    rows = world(np.random.default_rng(0), 90, 3).reshape(-1, 12)
    identities = [str(i // 3) for i in range(270)]

    model, _ = calibrate(
        rows[:90],
        identities[:90],
        head,
        metric="cosine",
        further=(rows[90:], identities[90:]),
        galleries=20,
    )

    assert model.identities == (1, 67)


def apart(rng: np.random.Generator, identities: int, samples: int) -> tuple[np.ndarray, ...]:
    """Return samples of the same identities by two encoders, whose sides lie apart."""
    both = world(rng, identities, 2 * samples)
    asked = both[:, samples:] + 0.2 * np.eye(12, dtype=np.float32)[0]
    asked /= np.linalg.norm(asked, axis=-1, keepdims=True)
    return both[:, :samples], asked


def test_posteriors_across_two_encoders_are_met_by_identities_not_seen():
    rng = np.random.default_rng(5)
    names = [str(i) for i in range(150) for _ in range(3)]
    references, probes = (each.reshape(-1, 12) for each in apart(rng, 150, 3))
    model, genuine = calibrate(
        *(references, names, head), metric="cosine", probes=(probes, names), galleries=60
    )
    strangers = apart(rng, 100, 1)[1][:, 0]

    stated, right = [], []
    for _ in range(20):
        enrolled, asking = apart(rng, 40, 2)
        identifier = Identifier(
            *(lambda: FaissGallery(12, "cosine"), head, strangers),
            posterior=model,
            genuine=genuine,
            own_trials=False,
        )
        owners = [Reference(i, str(i // 2)) for i in range(80)]
        identifier.enroll(owners, enrolled.reshape(-1, 12))
        unknown = apart(rng, 40, 1)[1][:, 0]
        for i, found in enumerate(
            identifier.identify(np.concatenate([asking[:, 0], unknown]), top=1, k=1)
        ):
            stated.append(found.posterior)
            right.append(found.candidates[0].identity == str(i))

    stated, right = np.array(stated), np.array(right)
    bins = np.digitize(stated, [0.2, 0.4, 0.6, 0.8])
    gaps = [abs((stated - right)[bins == b].sum()) for b in range(5)]
    assert sum(gaps) / len(stated) < 0.05
    assert right[stated >= 0.9].mean() > 0.85


def test_who_is_never_asked_by_the_other_encoder_takes_no_part():
    references, probes = apart(np.random.default_rng(0), 30, 2)
    names = [str(i) for i in range(30) for _ in range(2)]

    with pytest.raises(ValueError, match="at least 20 identities"):
        calibrate(
            *(references.reshape(-1, 12), names, head),
            metric="cosine",
            probes=(probes[:15].reshape(-1, 12), names[:30]),
        )


def test_by_another_encoder_one_sample_of_each_is_enough():
    references, probes = apart(np.random.default_rng(0), 30, 1)
    names = [str(i) for i in range(30)]

    model, genuine = calibrate(
        *(references[:, 0], names, head),
        metric="cosine",
        probes=(probes[:, 0], names),
        galleries=20,
    )

    assert model.samples == (1, 1)
    assert list(genuine.by_samples) == [1]
