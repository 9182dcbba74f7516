"""What is forgotten leaves every file within a minute, and the receipt tells when it has."""

import base64
import time

import numpy as np
import pytest

from tests.services import Service

WITHIN = 60  # seconds


def unit(seed, d=32):
    rows = np.random.default_rng(seed).normal(size=d).astype(np.float32)
    return rows / np.linalg.norm(rows)


def enroll(client, name, *seeds, gallery="default", metadata=None, key=None):
    body = {
        "identity": name,
        "gallery": gallery,
        "metadata": metadata or {},
        "files": [{"embedding": unit(seed).tolist()} for seed in seeds],
    }
    headers = {"Idempotency-Key": key} if key else {}
    answer = client.post("/enroll", json=body, headers=headers)
    assert answer.status_code == 201, answer.text


def traces(name, *seeds):
    """What must be found nowhere: the name, and each embedding as it is, in pieces and as text."""
    found = [name.encode(), name.encode("utf-16-le")]
    for seed in seeds:
        content = unit(seed).tobytes()
        found += [content[at : at + 16] for at in range(0, len(content), 16)]
        found.append(base64.b64encode(content)[:24])
    return found


def holding(folder, wanted):
    """Which files hold any of it."""
    found = set()
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if any(each in content for each in wanted):
                found.add(path.relative_to(folder).parts[0])
    return found


def wait_erased(client, receipt):
    begun = time.monotonic()
    while not (said := client.get(receipt).json())["complete"]:
        assert time.monotonic() - begun < WITHIN, said
        time.sleep(0.1)
    return said


def until(holds, seconds=30):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def scores(client):
    files = [{"embedding": unit(seed).tolist()} for seed in range(100, 105)]
    results = client.post("/identify", json={"files": files, "top": 50}).json()["results"]
    return [{c["identity"]: c["score"] for c in result["candidates"]} for result in results]


@pytest.fixture
def service(start_service):
    """Ten identities, whose snapshot lies there; `Zaphod-Beeblebrox` is to be forgotten."""
    service = start_service()
    with service.client() as client:
        for number in range(10):
            enroll(client, f"neighbour-{number}", 10 + number)
        secret = {"also": "Zaphod-Beeblebrox"}
        enroll(client, "Zaphod-Beeblebrox", 1, 2, metadata=secret, key="key-1")
    until(lambda: (service.data_dir / "snapshots" / "default.snapshot").exists())
    return service


SECRET = traces("Zaphod-Beeblebrox", 1, 2)
NEIGHBOUR = [unit(10).tobytes()]


def test_no_file_holds_a_byte_of_a_forgotten_identity_once_the_receipt_is_complete(service):
    assert holding(service.data_dir, SECRET) == {"store", "snapshots"}
    with service.client() as client:
        before = scores(client)

        gone = client.delete("/galleries/default/identities/Zaphod-Beeblebrox").json()
        at_once = client.get(gone["receipt"]).json()
        said = wait_erased(client, gone["receipt"])

        assert at_once["erased_from"]["record"] is at_once["erased_from"]["index"] is True
        assert all(said["erased_from"].values())
        assert holding(service.data_dir, SECRET) == set()
        assert "store" in holding(service.data_dir, NEIGHBOUR)
        for now, then in zip(scores(client), before, strict=True):
            assert now == {name: s for name, s in then.items() if name != "Zaphod-Beeblebrox"}
    assert service.stop() == 0
    assert holding(service.data_dir, SECRET) == set()
    assert holding(service.data_dir, NEIGHBOUR) == {"store", "snapshots"}


def test_what_an_edit_kept_to_be_undone_is_forgotten_with_whom_it_was_about(service):
    url = "/galleries/default"
    with service.client() as client:
        enroll(client, "Trillian-Astra", 2, 3, metadata={"also": "Tricia-McMillan"})
        enroll(client, "Ford-Prefect", 4)
        client.post(f"{url}/merge", json={"from": "Trillian-Astra", "into": "Zaphod-Beeblebrox"})
        client.post(f"{url}/merge", json={"from": "Zaphod-Beeblebrox", "into": "Ford-Prefect"})
        client.patch(f"{url}/identities/Ford-Prefect", json={"name": "Arthur-Dent"})
        all_of_it = [
            *SECRET,
            *traces("Trillian-Astra", 3, 4),
            *traces("Tricia-McMillan"),
            *traces("Ford-Prefect"),
            *traces("Arthur-Dent"),
        ]
        assert len(client.get(f"{url}/edits").json()["edits"]) == 3

        gone = client.delete(f"{url}/identities/Arthur-Dent").json()
        wait_erased(client, gone["receipt"])

        assert holding(service.data_dir, all_of_it) == set()
        assert client.get(f"{url}/edits").json()["edits"] == []
    assert service.stop() == 0
    assert holding(service.data_dir, all_of_it) == set()


@pytest.mark.slow
def test_a_service_killed_right_after_a_deletion_finishes_it_at_its_next_start(service):
    with service.client() as client:
        gone = client.delete("/galleries/default/identities/Zaphod-Beeblebrox").json()
    service.kill9()
    assert "store" in holding(service.data_dir, SECRET)

    again = Service(service.data_dir, service._environment["KINDRED_MODELS_STORE"])
    again.start().wait_ready()

    try:
        with again.client() as client:
            wait_erased(client, gone["receipt"])
            until(lambda: holding(service.data_dir, SECRET) == set())
    finally:
        again.stop()


@pytest.mark.slow
def test_a_forgotten_sample_and_replaced_metadata_leave_every_file(service):
    with service.client() as client:
        path = "/galleries/default/identities/Zaphod-Beeblebrox"
        [first, _] = client.get(path).json()["samples"]
        client.patch(path, json={"metadata": {"also": "Trillian-Astra"}})
        client.patch(path, json={"metadata": {"also": "nothing"}})

        gone = client.delete(f"{path}/samples/{first['id']}").json()
        wait_erased(client, gone["receipt"])

        assert holding(service.data_dir, traces("Trillian-Astra")) == set()
        assert holding(service.data_dir, [unit(1).tobytes()]) == set()
        assert "store" in holding(service.data_dir, [unit(2).tobytes()])


@pytest.mark.slow
def test_a_deleted_gallery_and_a_refused_import_leave_every_file(service):
    with service.client() as client:
        client.post("/galleries", json={"name": "other"})
        enroll(client, "Ford-Prefect", 3, gallery="other")
        exported = client.get("/galleries/other/export").content
        *_, end = exported.splitlines(keepends=True)
        assert client.delete("/galleries/other").status_code == 200
        cut = exported.removesuffix(end)
        assert client.post("/galleries/other/import", content=cut).status_code == 400

        until(lambda: holding(service.data_dir, traces("Ford-Prefect", 3)) == set(), WITHIN)


def test_a_receipt_is_only_of_a_version_that_there_is(service):
    with service.client() as client:
        for version in ("0", "999999", "x", "-1"):
            answer = client.get(f"/galleries/default/receipts/{version}")
            assert answer.status_code in (404, 422)
            assert answer.headers["content-type"] == "application/problem+json"
        assert client.get("/galleries/nowhere/receipts/1").status_code == 404
