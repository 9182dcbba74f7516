"""A start takes galleries up from snapshots, and answers as if it had read the store."""

import re
import shutil
import time

import pytest

from tests.drawings import draw, part
from tests.services import Service


def enroll(client, character, *takes, gallery="default"):
    files = [part(draw(character, take)) for take in takes]
    data = {"identity": f"id-{character}", "gallery": gallery}
    assert client.post("/enroll", data=data, files=files).status_code == 201


def answers(service, gallery="default"):
    files = [part(draw(character, 9)) for character in range(50)]
    with service.client() as client:
        answer = client.post("/identify", files=files, data={"gallery": gallery}).json()
    return answer["version"], answer["identities"], answer["results"]


def reads(service):
    """How many snapshots were read with which outcome."""
    with service.client() as client:
        text = client.get("/metrics").text
    found = re.findall(r'kindred_snapshot_reads_total\{outcome="(\w+)"\} (\d+)', text)
    return {outcome: int(count) for outcome, count in found if int(count)}


def fill(service):
    with service.client() as client:
        for character in range(45):
            enroll(client, character, 0, 1)
        client.delete("/galleries/default/identities/id-3")
        enroll(client, 3, 2)


def restarted(service, *, whole=True):
    if whole:
        assert service.stop() == 0
    again = Service(service.data_dir, service._environment["KINDRED_MODELS_STORE"])
    return again.start().wait_ready()


@pytest.fixture
def service(start_service):
    service = start_service()
    fill(service)
    return service


@pytest.fixture
def start_again(service):
    """Start the service again; whatever runs at the end is stopped."""
    started = []

    def start(meanwhile=lambda _folder: None):
        running = started[-1] if started else service
        assert running.stop() == 0
        meanwhile(service.data_dir / "snapshots")
        again = Service(service.data_dir, service._environment["KINDRED_MODELS_STORE"])
        started.append(again.start().wait_ready())
        return started[-1]

    yield start
    for each in started:
        each.stop()


def test_a_start_from_a_snapshot_answers_to_the_last_bit_as_before(service, start_again):
    before = answers(service)

    again = start_again()

    assert reads(again) == {"used": 1}
    assert answers(again) == before


def test_a_start_without_snapshots_answers_to_the_last_bit_as_before(service, start_again):
    before = answers(service)

    again = start_again(shutil.rmtree)

    assert reads(again) == {"absent": 1}
    assert answers(again) == before


@pytest.mark.slow
def test_what_was_enrolled_and_forgotten_since_the_snapshot_is_read_from_the_log(
    service, start_again
):
    again = start_again()
    old = (again.data_dir / "snapshots" / "default.snapshot").read_bytes()
    with again.client() as client:
        enroll(client, 46, 0)
        enroll(client, 3, 4)
        client.delete("/galleries/default/identities/id-7")
        strangers = [part(draw(100 + i)) for i in range(30)]
        client.post("/galleries/default/cohort", files=strangers)
        client.delete("/galleries/default/identities/id-8")
    before = answers(again)

    last = start_again(lambda folder: (folder / "default.snapshot").write_bytes(old))

    assert reads(last) == {"used": 1}
    assert answers(last) == before
    _until(lambda: not (again.data_dir / "snapshots" / "default.snapshot").exists())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "foreign", "store went back"])
def test_a_snapshot_that_is_not_the_galleries_own_is_counted_and_never_served(
    service, start_again, how
):
    before, expected = answers(service), "corrupt"

    def spoil(folder):
        path = folder / "default.snapshot"
        content = bytearray(path.read_bytes())
        if how == "flipped":
            content[len(content) // 2] ^= 4
        path.write_bytes({"cut": content[:-100], "empty": b""}.get(how, content))

    if how == "foreign":
        expected = "foreign"
        with service.client() as client:
            assert client.post("/galleries", json={"name": "other"}).status_code == 201
            enroll(client, 1, 5, gallery="other")

        def spoil(folder):
            shutil.copy(folder / "other.snapshot", folder / "default.snapshot")

    if how == "store went back":
        expected = "stale"
        store = service.data_dir / "store" / "appendonlydir"
        service = start_again(lambda _: shutil.copytree(store, store.with_name("backup")))
        with service.client() as client:
            enroll(client, 47, 0)

        def spoil(folder):
            shutil.rmtree(store)
            store.with_name("backup").rename(store)

    again = start_again(spoil)

    assert reads(again)[expected] == 1
    assert answers(again) == before
    last = start_again()  # it was made anew
    assert reads(last)["used"] >= 1
    assert answers(last) == before


@pytest.mark.slow
def test_a_quiet_gallery_is_stowed_and_a_killed_service_starts_from_it(service):
    before = answers(service)
    _until(lambda: (service.data_dir / "snapshots" / "default.snapshot").exists())
    service.kill9()

    again = restarted(service, whole=False)

    try:
        assert reads(again) == {"used": 1}
        assert answers(again) == before
    finally:
        again.stop()


def test_a_deleted_gallery_leaves_no_snapshot(service, start_again):
    with service.client() as client:
        client.post("/galleries", json={"name": "other"})
        enroll(client, 1, 5, gallery="other")
    again = start_again()
    file = again.data_dir / "snapshots" / "other.snapshot"
    assert file.exists()

    with again.client() as client:
        client.delete("/galleries/other")

    _until(lambda: not file.exists())


def _until(holds, seconds=15):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
