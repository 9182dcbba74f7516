"""The lock has all that serving takes, at versions that pyproject.toml allows, and no place."""

import re

from packaging.requirements import Requirement
from packaging.version import Version

from service.floors import FLOORS
from tests.promises.lock import PATH, requirements
from tests.services import ROOT

LOCK = PATH.read_text()
VERSIONS = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK, re.MULTILINE))


def test_everything_that_is_asked_for_is_locked_at_a_version_that_is_allowed():
    for asked in map(Requirement, requirements()):
        name = re.sub(r"[-_.]+", "-", asked.name).lower()
        assert asked.specifier.contains(VERSIONS[name]), name


def test_every_distribution_is_locked_by_the_digest_of_a_file():
    entries = re.split(r"\n(?=[a-z])", LOCK)[1:]

    assert len(entries) == len(VERSIONS)
    line, files = r"\S+==\S+( ; \S+ == '\w+')?", r"( \\\n    --hash=sha256:[0-9a-f]{64})+\n?"
    for entry in entries:
        assert re.fullmatch(line + files, entry), entry


def test_nothing_locked_has_a_known_hole():
    for name, (floor, _) in FLOORS.items():
        if name in VERSIONS:
            assert Version(VERSIONS[name]) >= Version(floor), name


def test_the_lock_names_no_index_and_no_place():
    assert not re.search(r"://|file:|/[a-z]+/|index|find-links|@", LOCK.split("\n", 2)[2])


def test_the_image_is_made_of_what_is_locked():
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert "--require-hashes -r requirements/serving.lock" in dockerfile
