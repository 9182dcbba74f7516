"""A real service whose decoders crash, hang or are killed: one sample pays, and no other."""

import os
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.decoder_faults import FAULTS
from tests.drawings import draw, part
from tests.refusals import assert_refused, decoders_of, wait_gone

GOOD = draw(1)


@pytest.fixture
def service(start_service, tmp_path, monkeypatch):
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", str(planted))
    return start_service(decode_seconds=0.2, api_keys="k3y", allow_keyless=True)


@pytest.fixture
def client(service):
    with service.client(headers={"X-API-Key": "k3y"}) as client:
        yield client


def lost(client, reason):
    name = f'kindred_decoders_lost_total{{reason="{reason}"}}'
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name))


@pytest.mark.parametrize(
    ("fault", "reason", "slug"),
    [
        (b"crash", "crashed", "undecodable-input"),
        (b"spin", "slow", "input-out-of-bounds"),
        (b"swell", None, "input-out-of-bounds"),
    ],
)
def test_what_breaks_a_decoder_costs_one_request(client, service, fault, reason, slug):
    answers, stop = [], threading.Event()

    def go_on():
        with service.client(headers={"X-API-Key": "k3y"}) as other:
            while not stop.is_set():
                answers.append(other.post("/embed", files=[part(GOOD)]))

    others = [threading.Thread(target=go_on) for _ in range(2)]
    for other in others:
        other.start()
    while not answers:
        time.sleep(0.01)
    refused = [client.post("/embed", files=[part(fault)]) for _ in range(5)]
    stop.set()
    for other in others:
        other.join()

    for answer in refused:
        assert_refused(answer, 422, slug)
    assert answers
    assert {answer.status_code for answer in answers} == {200}
    if reason:
        assert lost(client, reason) == 5
    assert client.post("/embed", files=[part(GOOD)]).is_success


def test_a_segmentation_fault_from_outside_is_noticed_and_mended(client, service):
    client.post("/embed", files=[part(GOOD)]).raise_for_status()

    for _ in range(3):
        _, *forked = decoders_of(service.process.pid)
        for pid in forked:
            os.kill(pid, signal.SIGSEGV)
        wait_gone(forked)
        answers = [client.post("/embed", files=[part(GOOD)]) for _ in range(3)]
        assert {answer.status_code for answer in answers} <= {200, 422}
        assert answers[-1].status_code == 200


def test_a_killed_template_comes_back(client, service):
    template, *_ = decoders_of(service.process.pid)
    os.kill(template, signal.SIGKILL)

    assert client.post("/embed", files=[part(GOOD)] * 8).is_success
    assert client.get("/health/ready").is_success


@pytest.mark.parametrize("how", ["kill9", "stop"])
def test_no_decoder_outlives_a_service(client, service, how):
    busy = threading.Thread(target=lambda: ask_in_vain(service))
    busy.start()
    time.sleep(0.3)
    decoders = decoders_of(service.process.pid)

    getattr(service, how)()
    busy.join()

    assert decoders
    wait_gone(decoders)


def ask_in_vain(service):
    try:
        with service.client(headers={"X-API-Key": "k3y"}) as client:
            client.post("/embed", files=[part(b"sleep")])
    except httpx.TransportError:
        pass  # the service is gone


def test_decoders_know_no_key(client, service):
    client.post("/embed", files=[part(GOOD)]).raise_for_status()

    for pid in decoders_of(service.process.pid):
        assert b"k3y" not in Path(f"/proc/{pid}/environ").read_bytes()
