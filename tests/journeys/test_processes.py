"""Several processes share a port: each sees what the others wrote, and is replaced if it ends."""

import json
import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.drawings import draw, part
from tests.refusals import processes
from tests.services import Service

pytestmark = pytest.mark.slow

PATIENCE = 240.0  # seconds until something has happened on a busy machine


def until(condition, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def own_ports(service):
    """Return where each process that serves answers alone, the newest of each number."""
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    return {line["process"]: line["own"] for line in lines if line["event"] == "serving"}


def is_there(pid):
    return Path(f"/proc/{pid}").exists()


def is_ready(url):
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def start(service):
    """Start two processes, and wait until both are ready."""
    service.start(PATIENCE)
    until(lambda: len(own_ports(service)) == 2)
    for url in own_ports(service).values():
        until(lambda url=url: is_ready(url))
    return service


def members(service):
    """Return the ids of the processes that serve, by their numbers."""
    found = {}
    for pid in processes(service.process.pid):
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        if words[-6:-4] == ["-m", "service"]:
            found[int(words[-4])] = pid
    return found


def counted(url, series):
    """Return the sum of all series that begin like this."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(series))


def asked(url, path, content, **how):
    return httpx.post(f"{url}{path}", files=[part(content)], timeout=30, **how)


@pytest.fixture(scope="module")
def pair(tmp_path_factory, bundles):
    folder = tmp_path_factory.mktemp("pair")
    service = start(Service(folder / "var", bundles, processes=2))
    yield service
    ours = processes(service.process.pid)
    assert service.stop() == 0, service.log.read_text()
    until(lambda: not any(map(is_there, ours)), 10)
    assert '"defect"' not in service.log.read_text()


def test_what_one_process_acknowledged_another_knows(pair):
    one, other = own_ports(pair).values()

    enrolled = asked(one, "/enroll", draw(1), data={"identity": "Ada"}).json()
    reached = asked(
        other, "/identify", draw(1), headers={"X-Min-Version": str(enrolled["version"])}
    ).json()
    enrolled = asked(other, "/enroll", draw(2), data={"identity": "Bob"}).json()

    assert reached["results"][0]["candidates"][0]["identity"] == "Ada"
    until(lambda: asked(one, "/identify", draw(2)).json()["version"] >= enrolled["version"], 20)


def test_each_process_tells_its_own_metrics(pair):
    one, other = own_ports(pair).values()

    def verified(url):
        return counted(url, 'kindred_http_requests_total{code="200",route="/verify"}')

    before = verified(one), verified(other)
    httpx.post(f"{one}/verify", files=[part(draw(1), "a"), part(draw(2), "b")], timeout=30)

    assert (verified(one), verified(other)) == (before[0] + 1, before[1])


def test_connections_to_the_shared_port_come_to_both(pair):
    ids = set()
    before = {url: counted(url, "kindred_connections{") for url in own_ports(pair).values()}

    links = [httpx.Client(base_url=pair.url) for _ in range(40)]  # all to one: 1 in 2^39
    for link in links:
        ids.add(link.get("/health/live").headers["x-request-id"])

    until(lambda: all(counted(url, "kindred_connections{") > before[url] for url in before))
    for link in links:
        link.close()
    assert len(ids) == 40


def test_a_process_that_is_killed_is_replaced_and_nothing_is_lost(pair):
    enrolled = asked(pair.url, "/enroll", draw(3), data={"identity": "Eve"}).json()
    killed = members(pair)[2]

    os.kill(killed, signal.SIGKILL)

    until(lambda: members(pair).get(2, killed) != killed)
    until(lambda: pair.log.read_text().count('"process": 2, "own"') > 1)
    until(lambda: is_ready(own_ports(pair)[2]))
    found = asked(
        own_ports(pair)[2],
        "/identify",
        draw(3),
        headers={"X-Min-Version": str(enrolled["version"])},
    )
    assert found.json()["results"][0]["candidates"][0]["identity"] == "Eve"
    assert asked(pair.url, "/embed", draw(3)).status_code == 200


def test_the_port_and_the_store_are_one_services(pair, bundles, tmp_path):
    port = pair.url.rpartition(":")[2]
    same_port = Service(tmp_path / "var", bundles, port=port, processes=2)
    same_folder = Service(pair.data_dir, bundles, processes=2)
    same_folder.log = tmp_path / "log"

    for second, words in ((same_port, "ddress already in use"), (same_folder, "another service")):
        with pytest.raises(AssertionError, match=words):
            second.start(PATIENCE)
        assert second.process.returncode == 3


def test_a_service_none_of_whose_processes_can_start_ends(tmp_path, bundles):
    service = Service(tmp_path / "var", bundles, processes=2, keys_file=tmp_path / "none")

    with pytest.raises(AssertionError, match="did not start"):
        service.start(PATIENCE)

    assert service.process.returncode == 3


def test_snapshots_of_processes_that_are_no_more_are_removed(tmp_path, bundles):
    two = Service(tmp_path / "var", bundles, processes=2)
    start(two)
    asked(two.url, "/enroll", draw(1), data={"identity": "Ada"}).raise_for_status()
    assert two.stop() == 0
    kept = list((tmp_path / "var" / "processes").glob("*/snapshots/*.snapshot"))

    one = Service(tmp_path / "var", bundles)
    one.start(PATIENCE).wait_ready(PATIENCE)
    samples = httpx.get(f"{one.url}/galleries/default").json()["samples"]
    assert one.stop() == 0

    assert kept
    assert samples == 1
    assert not list((tmp_path / "var" / "processes").glob("*"))


def test_what_outlives_a_killed_parent_is_nothing(tmp_path, bundles):
    service = start(Service(tmp_path / "var", bundles, processes=2))
    serving = list(members(service).values())

    service.kill9()

    until(lambda: not any(map(is_there, serving)))
    again = Service(tmp_path / "var", bundles)
    again.start(PATIENCE).wait_ready(PATIENCE)
    assert again.stop() == 0
