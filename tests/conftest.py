"""What tests share: bundles made on the spot, and the real service over them."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.bundles import make_bundle
from tests.servers import start_server  # noqa: F401 - a fixture for all
from tests.services import ROOT, Service

settings.register_profile("busy", deadline=None)  # how long a law takes is the machine's affair
settings.load_profile("busy")

SHARED = Path(os.environ.get("KINDRED_SHARED_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """A folder of two served bundles that are nothing alike."""
    root = tmp_path_factory.mktemp("bundles")
    make_bundle(root, "tiny", cohort=400, dimension=32)
    make_bundle(root, "wide", size=20, dimension=16, distance="l2", cohort=99)
    return root


@pytest.fixture(scope="session")
def shared_data():
    """The folder of public data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data or KINDRED_SHARED_DATA")
    return SHARED


@pytest.fixture
def start_service(tmp_path, bundles):
    """Start services over this test's own data folder; all are stopped at its end."""
    services = []

    def start(**settings):
        settings = {"data_dir": tmp_path / "var", "bundles": bundles} | settings
        services.append(Service(**settings).start())
        return services[-1].wait_ready()

    yield start
    for service in services:
        service.stop()


@pytest.fixture(scope="session")
def running_service(tmp_path_factory, bundles):
    """One service for all tests that leave no trace or use a gallery of their own."""
    service = Service(tmp_path_factory.mktemp("running") / "var", bundles).start().wait_ready()
    yield service
    assert service.stop() == 0, service.log.read_text()


@pytest.fixture
def client(running_service):
    with running_service.client() as client:
        yield client


@pytest.fixture
def gallery(client, request):
    """An empty gallery that belongs to one test."""
    name = f"g{abs(hash(request.node.nodeid)) % 10**12}"
    assert client.post("/galleries", json={"name": name}).status_code == 201
    return name
