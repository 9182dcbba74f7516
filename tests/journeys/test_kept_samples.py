"""The gallery `default` keeps uploads where a setting says so, and no gallery more than it may."""

import pytest

from tests.drawings import draw, part
from tests.services import Service

ROOM = 3000  # bytes; a drawing takes some hundred


@pytest.fixture(scope="module")
def client(tmp_path_factory, bundles):
    service = Service(
        tmp_path_factory.mktemp("kept") / "var", bundles, keep_samples=True, max_kept_bytes=ROOM
    )
    with service.start().wait_ready().client() as client:
        yield client
    assert service.stop() == 0, service.log.read_text()


def enroll(client, identity, *drawings):
    files = [part(drawing) for drawing in drawings]
    return client.post("/enroll", data={"identity": identity}, files=files)


def test_an_enrollment_past_the_bytes_that_may_be_kept_is_refused_whole_until_there_is_room(
    client,
):
    assert client.get("/galleries/default").json()["keep_samples"] is True
    drawings = [draw(0, take) for take in range(30)]
    bytes_each = len(drawings[0])
    fits = ROOM // (2 * bytes_each)
    first = enroll(client, "first", *drawings[:fits])

    refused = enroll(client, "second", *drawings[fits:])
    small = enroll(client, "third", draw(1))
    client.delete("/galleries/default/identities/first")
    after = enroll(client, "second", *drawings[fits : 2 * fits])

    assert first.status_code == 201, first.text
    assert refused.status_code == 413
    assert refused.json()["type"].endswith("#too-large")
    assert str(ROOM) in refused.json()["detail"]
    assert small.status_code == 201, small.text
    assert after.status_code == 201, after.text
    names = [
        one["identity"] for one in client.get("/galleries/default/identities").json()["items"]
    ]
    assert names == ["third", "second"]


def test_a_ready_embedding_takes_none_of_the_room(client):
    files = [part(draw(character)) for character in range(100, 130)]
    embeddings = client.post("/embed", files=files).json()["embeddings"]
    body = {"identity": "ready", "files": [{"embedding": one} for one in embeddings]}

    answer = client.post("/enroll", json=body)

    assert 4 * sum(map(len, embeddings)) > ROOM
    assert answer.status_code == 201, answer.text


def test_default_made_anew_keeps_again(client):
    client.delete("/galleries/default")

    assert client.get("/galleries/default").json()["keep_samples"] is True
