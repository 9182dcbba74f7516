"""What journeys share: a service that compares pictures, sounds and words."""

import pytest

from tests.audio_bundles import make_audio_bundle
from tests.bundles import make_bundle
from tests.refusals import assert_nothing_leaked
from tests.services import Service
from tests.text_bundles import make_text_bundle


@pytest.fixture(scope="session")
def all_kinds(tmp_path_factory):
    """One service of every modality, for requests that leave no trace: nothing of them leaks."""
    root = tmp_path_factory.mktemp("kinds")
    make_bundle(root / "bundles", cohort=400, dimension=32)
    make_text_bundle(root / "bundles")
    make_audio_bundle(root / "bundles")
    service = Service(root / "var", root / "bundles", default_comparator="tiny")
    service.start().wait_ready()
    yield service
    assert_nothing_leaked(service)
    assert service.stop() == 0, service.log.read_text()


@pytest.fixture
def to_all_kinds(all_kinds):
    """A client of it."""
    with all_kinds.client() as client:
        yield client
