"""What is served with is not known to have holes."""

import importlib.metadata
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from service.floors import FLOORS, TooOld, check_floors
from tests.services import ROOT


def test_what_is_installed_here_is_new_enough():
    check_floors()


@pytest.mark.parametrize("distribution", FLOORS)
def test_anything_older_than_its_floor_is_refused_by_name(distribution, monkeypatch):
    floor, _ = FLOORS[distribution]
    parts = [int(part) for part in floor.split(".")]
    last = max(place for place, part in enumerate(parts) if part)
    older = ".".join(map(str, [*parts[:last], parts[last] - 1, 99]))
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: older if name == distribution else "999"
    )

    with pytest.raises(TooOld, match=f"{distribution} {older}.*{distribution}>={floor}"):
        check_floors()


def test_what_is_not_installed_is_no_hole():
    check_floors({"no-such-distribution": ("1", "nothing")})


def test_pyproject_asks_for_no_less_than_the_floors():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    asked = {one.name: one.specifier for one in map(Requirement, lines)}
    for name, (floor, _) in FLOORS.items():
        if name in asked:
            lowest = min(Version(each.version) for each in asked[name] if each.operator == ">=")
            assert lowest >= Version(floor), name
