"""What openapi.yaml shows of each call is answered as it says, by the shipped bundle."""

import json
import shutil
import time

import pytest

from tests.calls import operations
from tests.promises.openapi import document
from tests.services import ROOT, Service

pytestmark = pytest.mark.slow

DESCRIBED = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in document()["paths"].items()
    for method, operation in methods.items()
}
IN_ORDER = """
    about live ready metrics list_comparators get_comparator verify embed cluster evaluate
    enroll enroll_bulk identify get_decision give_feedback list_rejections take_rejection_back
    list_identities get_identity update_identity get_preview
    split_identity similar_identities merge_identities list_edits undo_edit get_receipt
    map_gallery check_gallery get_operating_curve get_boundary update_gallery put_cohort
    get_gallery export_gallery import_gallery
    create_gallery list_galleries migrate_gallery get_migration switch_comparator
    roll_back_comparator end_migration
    migrate_gallery get_migration switch_comparator finish_migration
    delete_gallery forget_sample forget_identity
"""
ORDER = IN_ORDER.split()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A service of `ink@1`, and of an `ink@2` that is the same: to migrate takes two."""
    root = tmp_path_factory.mktemp("examples")
    ink = ROOT / "models_store" / "bundles" / "ink" / "1"
    for version in ("1", "2"):
        shutil.copytree(ink, root / "bundles" / "ink" / version)
    card = json.loads((ink / "manifest.json").read_text()) | {"version": "2"}
    (root / "bundles" / "ink" / "2" / "manifest.json").write_text(json.dumps(card))
    service = Service(
        root / "var", root / "bundles", default_comparator="ink@1", keep_samples=True
    )
    yield service.start(timeout=300).wait_ready()
    assert service.stop() == 0


def test_every_call_has_an_example_and_is_sent():
    assert set(ORDER) == operations()
    for method, path, operation in DESCRIBED.values():
        for parameter in operation.get("parameters", ()):
            assert parameter["in"] != "path" or "example" in parameter, (method, path)
        for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
            assert {"example", "examples"} & set(body) or media_type == "audio/*", (method, path)


def test_every_example_is_answered_as_openapi_says(shipped):
    told = {}

    with shipped.client() as client:
        for operation in ORDER:
            if operation == "switch_comparator":
                wait_until_migrated(client)
            for request in requests(client, operation, told):
                answer = client.send(request)

                assert str(answer.status_code) == success(operation), (operation, answer.text)
            told |= learnt(operation, answer)


def learnt(operation, answer):
    """Return what an answer tells that no example can know."""
    if operation == "identify":
        return {"decision": answer.json()["decisions"][0]}
    if operation == "list_rejections":
        return {"rejection": answer.json()["rejections"][0]["id"]}
    return {}


def wait_until_migrated(client):
    until = time.monotonic() + 30
    while client.get("/galleries/greek/migration").json()["state"] == "building":
        assert time.monotonic() < until
        time.sleep(0.05)


def success(operation):
    return min(DESCRIBED[operation][2]["responses"])


def requests(client, operation, told):
    """Return a request of each example of a call."""
    method, path, described = DESCRIBED[operation]
    shown = {p["name"]: p["example"] for p in described.get("parameters", ()) if p["in"] == "path"}
    url = path.format(**{name: told.get(name, value) for name, value in shown.items()})
    content = described.get("requestBody", {}).get("content", {})
    bodies = [sent(media_type, body, told) for media_type, body in content.items()] or [{}]
    return [client.build_request(method, url, **body) for body in bodies if body is not None]


def sent(media_type, body, told):
    """Return an example as httpx takes it, or None where the body is a sample itself."""
    example = body.get("example")
    if media_type == "application/x-ndjson":
        return {"content": example}
    if media_type == "application/json":
        return {"json": {name: told.get(name, value) for name, value in example.items()}}
    if media_type == "multipart/form-data":
        return {"files": list(parts(body["schema"]["properties"], example, told))}
    return None  # tests/journeys/test_raw_bodies.py sends these


def parts(properties, example, told):
    for name, value in example.items():
        for one in value if isinstance(value, list) else [value]:
            is_file = "binary" in str(properties[name])
            part = (one, (ROOT / one).read_bytes()) if is_file else (None, told.get(name, one))
            yield name, part
