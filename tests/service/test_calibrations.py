import json

import numpy as np
import pytest

from models_store import open_bundle
from service.replicas.calibrations import of_bundle, of_gallery
from service.store.kept import StoredCohort

GENUINE = {"rule": "max", "by_samples": {"1": [0.2, 0.9], "3": [0.5, 1.0]}}


@pytest.fixture(scope="module")
def comparator(bundles):
    return open_bundle(bundles / "tiny" / "1")


def cohort(calibration):
    return StoredCohort(np.ones((1, 32), np.float32), np.arange(1), calibration)


def test_what_was_measured_with_a_gallery_stands_for_it(comparator):
    posterior, genuine = of_gallery(comparator, cohort(json.dumps({"genuine": GENUINE})))

    assert posterior is None
    assert genuine.rule == "max"
    assert {n: scores.tolist() for n, scores in genuine.by_samples.items()} == {
        1: [0.2, 0.9],
        3: [0.5, 1.0],
    }


@pytest.mark.parametrize("calibration", [None, "", "{", '{"posterior": {"slope": 1}}', '{"x": 1}'])
def test_where_that_is_not_understood_the_bundles_holds(comparator, calibration):
    assert of_gallery(comparator, cohort(calibration)) == of_bundle(comparator)
