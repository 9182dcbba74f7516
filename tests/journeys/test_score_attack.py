"""A template is recovered from scores, and is not from what a key of role `decide` is told."""

import numpy as np
import pytest

from tests.score_attack import attacked


@pytest.mark.slow
def test_scores_give_a_template_away_and_decisions_within_the_default_quota_do_not(tmp_path):
    found = attacked(tmp_path, victims=8, limits={"default": 0})

    assert min(found["scores"]) > 0.9
    assert np.mean(found["default"]) < 0.3
