"""The client while the service is killed, or its store is."""

import threading
import time

import anyio
import pytest

from kindred import AsyncClient, Client
from kindred.problems import StoreUnavailable, Unreachable
from tests.drawings import draw
from tests.servers import free_port


def later(seconds, do):
    """Do something meanwhile; return what to wait for."""

    def wait_and_do():
        time.sleep(seconds)
        do()

    thread = threading.Thread(target=wait_and_do)
    thread.start()
    return thread


def start_again(service):
    service.kill9()
    service.start()


@pytest.mark.slow
def test_a_service_that_comes_back_is_waited_for(start_service):
    service = start_service(port=free_port())
    service.kill9()
    back = later(0.5, service.start)

    with Client(service.url, patience=60) as client:
        answer = client.enroll("one", draw(1))
    back.join()

    assert answer.samples[0].outcome == "added"


def test_a_write_that_may_have_been_done_is_left_to_whoever_asked(start_service, start_server):
    store = start_server()  # which the killed service does not leave behind
    service = start_service(port=free_port(), redis_url=store.url)
    with Client(service.url, patience=60) as client:
        client.enroll("one", draw(1))
        service.kill9()
        begun = time.monotonic()
        with pytest.raises(Unreachable), Client(service.url, patience=0.3) as hasty:
            hasty.forget_identity("default", "one")

    assert time.monotonic() - begun < 10


@pytest.mark.slow
def test_a_503_is_waited_out_where_that_is_safe_and_told_where_not(start_service, start_server):
    store = start_server()
    service = start_service(redis_url=store.url, store_timeout=0.5)
    with Client(service.url, patience=60) as patient, Client(service.url, patience=0) as hasty:
        patient.enroll("one", draw(1))
        store.stop()
        with pytest.raises(StoreUnavailable) as told:
            hasty.enroll("two", draw(2))
        back = later(2, store.cont)
        answer = patient.enroll("two", draw(2))
        back.join()
        samples = len(patient.get_identity("default", "two").samples)

    assert told.value.retry_after > 0
    assert answer.samples[0].outcome in ("added", "duplicate")
    assert samples == 1


@pytest.mark.slow
def test_many_are_enrolled_once_each_although_the_service_is_killed_meanwhile(start_service):
    service = start_service(port=free_port())
    items = [(f"i{i % 40}", draw(i)) for i in range(600)]
    lines = []
    with Client(service.url, patience=120) as client:
        for line in client.enroll_many(items):
            lines.append(line)
            if len(lines) in (100, 300):
                back = later(0.02, lambda: start_again(service))
        back.join()
        service.wait_ready()
        kept = {one.identity: len(one.samples) for one in client.identities("default")}

    assert [line.index for line in lines] == list(range(600))
    assert {line.outcome for line in lines} <= {"added", "duplicate"}
    assert kept == {f"i{i}": 15 for i in range(40)}
    assert len({line.id for line in lines}) == 600


@pytest.mark.slow
def test_what_was_written_to_one_replica_is_seen_through_another(
    start_service, start_server, tmp_path
):
    store = start_server()
    one, other = (
        start_service(redis_url=store.url, data_dir=tmp_path / name) for name in ("one", "other")
    )
    with Client(one.url) as writer, Client(other.url) as reader:
        reader._versions = writer._versions  # as behind one address
        for i in range(30):
            writer.enroll(f"i{i}", draw(i))
            found = reader.identify(draw(i)).results[0]
            assert found.identity == f"i{i}"


@pytest.mark.slow
def test_awaited_calls_are_tried_again_too(start_service):
    service = start_service(port=free_port())
    service.kill9()
    back = later(0.5, service.start)

    async def enroll():
        async with AsyncClient(service.url, patience=60) as client:
            return await client.enroll("one", draw(1))

    answer = anyio.run(enroll)
    back.join()

    assert answer.samples[0].outcome == "added"
