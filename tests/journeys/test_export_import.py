"""A gallery is exported and imported to the last bit, or not imported at all."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from tests.drawings import draw, part
from tests.services import ROOT

NOWHERE = base64.b64encode(bytes(4 * 32)).decode()  # the zero vector


def enroll(client, gallery, character, *takes, **fields):
    files = [part(draw(character, take)) for take in takes]
    data = {"identity": f"id-{character}", "gallery": gallery} | fields
    answer = client.post("/enroll", data=data, files=files)
    assert answer.status_code == 201, answer.text


def answers(client, gallery, characters=range(8)):
    files = [part(draw(character, 9)) for character in characters]
    answer = client.post("/identify", files=files, data={"gallery": gallery}).json()
    return {name: answer[name] for name in ("version", "identities", "results")}


def listed(client, gallery):
    return client.get(f"/galleries/{gallery}/identities?limit=1000").json()


def put(client, gallery, content):
    return client.post(
        f"/galleries/{gallery}/import",
        content=content,
        headers={"content-type": "application/x-ndjson"},
    )


def sealed(lines):
    """Lines under a checksum of their own, as whoever altered them on purpose would send."""
    *told, end = lines
    body = b"".join(json.dumps(line).encode() + b"\n" for line in told)
    end = {"end": end["end"] | {"sha256": hashlib.sha256(body).hexdigest()}}
    return body + json.dumps(end).encode() + b"\n"


@pytest.fixture
def filled(client, gallery):
    """A gallery with a history: several samples, metadata, somebody forgotten, an empty one."""
    for character in range(6):
        enroll(client, gallery, character, 0, 1, metadata=json.dumps({"n": [character, "ü"]}))
    client.delete(f"/galleries/{gallery}/identities/id-2")
    enroll(client, gallery, 6, 0)
    [sample] = client.get(f"/galleries/{gallery}/identities/id-6").json()["samples"]
    client.delete(f"/galleries/{gallery}/identities/id-6/samples/{sample['id']}")
    return gallery


@pytest.fixture
def exported(client, filled):
    answer = client.get(f"/galleries/{filled}/export")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    return answer.content


def test_an_imported_gallery_gives_bit_equal_answers_and_keeps_ids_dates_and_metadata(
    client, filled, exported
):
    answer = put(client, f"{filled}-b", exported)

    assert answer.status_code == 201, answer.text
    before, after = client.get(f"/galleries/{filled}").json(), answer.json()
    assert after == before | {"name": f"{filled}-b"}
    assert answers(client, f"{filled}-b") == answers(client, filled)
    assert listed(client, f"{filled}-b") == listed(client, filled)


def test_an_export_of_an_import_is_the_same_but_for_its_name(client, filled, exported):
    put(client, f"{filled}-b", exported)

    again = client.get(f"/galleries/{filled}-b/export").content

    told, once_more = exported.splitlines(), again.splitlines()
    assert once_more[1:-1] == told[1:-1]
    assert json.loads(once_more[0])["gallery"] == json.loads(told[0])["gallery"] | {
        "name": f"{filled}-b"
    }


def test_own_strangers_and_settings_come_along(client, gallery):
    settings = {"name": f"{gallery}-s", "rule": "mean", "target_fpir": 0.2, "prior_known": 0.9}
    assert client.post("/galleries", json=settings).status_code == 201
    strangers = [part(draw(100 + i)) for i in range(30)]
    assert client.post(f"/galleries/{gallery}-s/cohort", files=strangers).status_code == 201
    for character in range(4):
        enroll(client, f"{gallery}-s", character, 0, 1)

    exported = client.get(f"/galleries/{gallery}-s/export").content
    made = put(client, f"{gallery}-t", exported)

    assert made.status_code == 201, made.text
    assert (made.json()["cohort"], made.json()["cohort_identities"]) == ("gallery", 30)
    assert made.json()["rule"] == "mean"
    assert answers(client, f"{gallery}-t") == answers(client, f"{gallery}-s")


@pytest.mark.slow
def test_an_import_lives_on_like_any_gallery_and_survives_a_restart(start_service):
    service = start_service()
    with service.client() as client:
        for character in range(3):
            enroll(client, "default", character, 0)
        exported = client.get("/galleries/default/export").content
        assert put(client, "copy", exported).status_code == 201
        enroll(client, "copy", 3, 0)
        enroll(client, "copy", 0, 5)
        client.delete("/galleries/copy/identities/id-1")
        before = answers(client, "copy", range(4)), listed(client, "copy")
        ids = [s["id"] for item in before[1]["items"] for s in item["samples"]]
        assert sorted(ids) == ["1", "3", "4", "5"]
    assert service.stop() == 0

    with start_service().client() as client:
        assert (answers(client, "copy", range(4)), listed(client, "copy")) == before


def test_ids_of_forgotten_samples_are_not_given_again(client, gallery):
    enroll(client, gallery, 1, 0)
    enroll(client, gallery, 2, 0)
    client.delete(f"/galleries/{gallery}/identities/id-2")

    put(client, f"{gallery}-b", client.get(f"/galleries/{gallery}/export").content)
    enroll(client, f"{gallery}-b", 3, 0)

    [_, third] = listed(client, f"{gallery}-b")["items"]
    assert third["samples"][0]["id"] == "3"


def test_embeddings_are_exported_exactly(client, gallery):
    values = np.random.default_rng(1).normal(size=32).astype(np.float32)
    values /= np.linalg.norm(values)
    body = {"identity": "a", "gallery": gallery, "files": [{"embedding": values.tolist()}]}
    assert client.post("/enroll", json=body).status_code == 201

    [_, line, _] = client.get(f"/galleries/{gallery}/export").content.splitlines()

    [sample] = json.loads(line)["identity"]["samples"]
    assert base64.b64decode(sample["embedding"]) == values.tobytes()
    assert sample["fingerprint"] == hashlib.sha256(values.tobytes()).hexdigest()


def test_somebody_enrolled_under_that_name_is_not_replaced(client, filled, exported):
    before = answers(client, filled)

    refused = put(client, filled, exported)

    assert refused.status_code == 409
    assert refused.json()["type"].endswith("#already-exists")
    assert answers(client, filled) == before


def test_an_empty_gallery_is_filled(client, filled, exported):
    assert client.post("/galleries", json={"name": f"{filled}-e"}).status_code == 201

    assert put(client, f"{filled}-e", exported).status_code == 201
    assert answers(client, f"{filled}-e") == answers(client, filled)


def test_an_export_of_another_comparator_is_refused(client, filled, exported):
    first, *others = map(json.loads, exported.splitlines())
    first["gallery"]["digest"] = "0" * 64

    refused = put(client, f"{filled}-b", sealed([first, *others]))

    assert refused.status_code == 422
    assert refused.json()["type"].endswith("#model-mismatch")


def test_an_empty_gallery_of_another_comparator_is_not_turned_into_one_of_this(
    client, filled, exported
):
    body = {"name": f"{filled}-w", "comparator": "wide"}
    assert client.post("/galleries", json=body).status_code == 201

    refused = put(client, f"{filled}-w", exported)

    assert refused.status_code == 422
    assert client.get(f"/galleries/{filled}-w").json()["comparator"] == "wide@1"


def test_no_truncated_export_leaves_anything(client, filled, exported):
    lines = exported.splitlines(keepends=True)
    cuts = [
        0,
        1,
        len(exported) // 2,
        len(exported) - 2,
        *(len(b"".join(lines[:i])) for i in (1, 3)),
    ]
    cuts.append(len(exported) - len(lines[-1]))

    for cut in cuts:
        refused = put(client, f"{filled}-b", exported[:cut])
        assert refused.status_code == 400, (cut, refused.text)
        assert refused.json()["type"].endswith("#malformed-body")
        assert client.get(f"/galleries/{filled}-b").status_code == 404


def test_no_altered_export_leaves_anything(client, filled, exported):
    rng = np.random.default_rng(7)

    for _ in range(60):
        altered = bytearray(exported)
        altered[rng.integers(len(altered))] ^= 1 << rng.integers(8)
        refused = put(client, f"{filled}-b", bytes(altered))
        assert refused.status_code in (400, 413, 422), refused.text
        assert client.get(f"/galleries/{filled}-b").status_code == 404


@pytest.mark.parametrize(
    "alter",
    [
        lambda first, second: second.update(name=first["name"]),
        lambda first, second: second["samples"][0].update(id=first["samples"][0]["id"]),
        lambda first, second: second["samples"].append(second["samples"][0]),
        lambda first, second: second["samples"].pop(),
        lambda first, second: second["samples"][0].update(embedding="AAAA"),
        lambda first, second: second["samples"][0].update(embedding=NOWHERE),
        lambda first, second: second["samples"][0].update(id=10**6),
        lambda first, second: second["samples"][0].update(created="yesterday"),
        lambda first, second: second.update(metadata={"long": "x" * 5000}),
        lambda first, second: second.update(name="a:b"),
        lambda first, second: second.update(more=1),
        lambda first, second: second.update(number="2"),
    ],
)
def test_an_export_that_no_gallery_can_be_is_refused_whatever_its_checksum(
    client, filled, exported, alter
):
    lines = [json.loads(line) for line in exported.splitlines()]
    alter(lines[1]["identity"], lines[2]["identity"])

    refused = put(client, f"{filled}-b", sealed(lines))

    assert refused.status_code in (400, 413, 422), refused.text
    assert client.get(f"/galleries/{filled}-b").status_code == 404


@pytest.mark.parametrize(
    ("metadata", "rule"), [("[" * 300 + "]" * 300, "lists and objects"), ("1e999", "finite")]
)
def test_an_export_with_metadata_that_could_not_be_read_again_is_refused(
    client, filled, exported, metadata, rule
):
    lines = [json.loads(line) for line in exported.splitlines()]
    lines[1]["identity"]["metadata"] = {"a": "HERE"}

    refused = put(client, f"{filled}-b", sealed(lines).replace(b'"HERE"', metadata.encode()))

    assert refused.status_code == 422, refused.text
    assert refused.json()["detail"].startswith("line 2: metadata: expected")
    assert rule in refused.json()["detail"]


@pytest.mark.parametrize("line", [{"c4n4ry": 1}, {"identity": {"c4n4ry": 1}}, {"zqcanary": 1}])
def test_a_line_of_an_export_that_says_something_else_is_not_quoted(
    client, filled, exported, line
):
    first = exported.splitlines(keepends=True)[0]

    refused = put(client, f"{filled}-b", first + json.dumps(line).encode() + b"\n")

    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("line 2: ")
    assert "an unknown field; expected only" in refused.json()["detail"]
    assert "canary" not in refused.text
    assert "c4n4ry" not in refused.text


def test_an_export_during_enrollments_is_a_gallery_as_it_was_at_its_version(client, gallery):
    for character in range(20):
        enroll(client, gallery, character, 0)
    stop = threading.Event()

    def change():
        for character in range(20, 10_000):
            enroll(client, gallery, character, 0)
            client.delete(f"/galleries/{gallery}/identities/id-{character - 10}")
            if stop.is_set():
                return

    writer = threading.Thread(target=change)
    writer.start()
    exports = [client.get(f"/galleries/{gallery}/export").content for _ in range(5)]
    stop.set()
    writer.join()

    for number, exported in enumerate(exports):
        end = json.loads(exported.splitlines()[-1])["end"]
        made = put(client, f"{gallery}-{number}", exported)
        assert made.status_code == 201, made.text
        assert made.json()["version"] == end["version"]
        assert made.json()["identities"] == end["identities"]


def test_the_command_line_takes_a_gallery_out_and_in(running_service, client, filled, tmp_path):
    def kindred(*words):
        return subprocess.run(
            [sys.executable, "-m", "kindred", "galleries", *map(str, words)],
            cwd=ROOT,
            env=dict(os.environ) | {"KINDRED_URL": running_service.url},
            capture_output=True,
            text=True,
            timeout=120,
        )

    file = tmp_path / "gallery.ndjson"
    out = kindred("export", filled, file)
    into = kindred("import", file, f"{filled}-cli")
    twice = kindred("import", file, f"{filled}-cli")

    assert (out.returncode, into.returncode) == (0, 0), out.stderr + into.stderr
    assert answers(client, f"{filled}-cli") == answers(client, filled)
    assert twice.returncode == 2
    assert "409" in twice.stderr
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
