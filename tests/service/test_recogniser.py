import pytest

from index import TargetUnresolvable
from models_store import open_bundle
from service.parameters import InvalidParameter
from service.replicas.calibrations import pair_threshold
from tests.bundles import make_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Operating points: FMR .1 at .6, FMR .01 at .8."""
    return open_bundle(make_bundle(tmp_path_factory.mktemp("model")))


@pytest.mark.parametrize(
    ("target_fmr", "threshold", "expected"),
    [
        (None, None, (0.8, 0.01, 0.01)),
        (0.1, None, (0.6, 0.1, 0.1)),
        (0.5, None, (0.6, 0.5, 0.1)),
        (0.05, None, (0.8, 0.05, 0.01)),
        (None, 0.7, (0.7, None, 0.1)),
        (None, 0.95, (0.95, None, 0.01)),
        (None, 0.2, (0.2, None, None)),
    ],
)
def test_a_target_is_met_by_the_operating_point_next_below(model, target_fmr, threshold, expected):
    assert pair_threshold(model, target_fmr, threshold) == expected


def test_a_target_below_every_operating_point_is_refused(model):
    with pytest.raises(TargetUnresolvable, match=r"0\.01"):
        pair_threshold(model, 0.001, None)


def test_a_target_and_a_threshold_contradict(model):
    with pytest.raises(InvalidParameter):
        pair_threshold(model, 0.1, 0.5)
