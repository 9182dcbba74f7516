from dataclasses import replace

import numpy as np
import pytest

from evaluation.across import halves, measure, served_by
from tests.evaluation.embedded import two_sides


def test_no_identity_is_in_both_halves_and_none_is_left_out():
    embedded = two_sides(41)

    one, other = halves(embedded, 0)

    assert sorted([*one.identities, *other.identities]) == list(range(41))
    assert len(one.samples.labels) + len(other.samples.labels) == len(embedded.labels)
    assert one.samples.identities == len(one.identities)


def test_each_side_is_judged_by_strangers_and_a_posterior_of_its_own():
    embedded = replace(two_sides(60), score=np.negative)

    served = served_by(embedded, 0)

    of_a, of_b = (embedded.embeddings[embedded.of_b == side] for side in (False, True))
    for cohort, own in ((served.cohort, of_a), (served.of_b.cohort, of_b)):
        assert len(cohort) == 60
        assert all((row == own).all(axis=1).any() for row in cohort)
    assert served.posterior != served.of_b.posterior


@pytest.mark.slow
def test_posteriors_come_true_for_the_other_half_in_either_direction():
    embedded = replace(two_sides(160, spread=0.8), score=np.negative)

    rows = [row for row in measure(embedded, 3) if row.stated == "posterior"]

    assert {(row.probes, row.identities) for row in rows} >= {("a", 5), ("b", 5), ("a", 20)}
    assert all(row.ece.value < 0.08 for row in rows)
