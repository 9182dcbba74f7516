"""A service over a shelf of hostile bundles: each refused with its reason, the good one served."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.bundles import make_bundle, read_fields, write_manifest
from tests.drawings import draw, part


@pytest.fixture
def shelf(tmp_path):
    """A good bundle, and others beside it that are not."""
    root = tmp_path / "shelf"
    good = make_bundle(root, "good", cohort=100)
    for name in ("linked", "operator", "swelling", "altered", "pickled"):
        make_bundle(root, name)
    (root / "linked" / "1" / "card.md").unlink()
    (root / "linked" / "1" / "card.md").symlink_to(good / "card.md")
    operator = root / "operator" / "1"
    model = onnx.load(operator / "encoder.onnx")
    model.graph.node.append(helper.make_node("Evil", ["image"], ["x"], domain="evil"))
    (operator / "encoder.onnx").write_bytes(model.SerializeToString())
    write_manifest(operator, read_fields(operator))
    swelling = root / "swelling" / "1"
    np.savez_compressed(
        swelling / "cohort.npz", identities=np.zeros(2**26), embeddings=np.zeros((1, 8))
    )
    write_manifest(swelling, read_fields(swelling))
    (root / "altered" / "1" / "head.onnx").write_bytes(b"")
    (root / "pickled" / "1" / "model.pkl").write_bytes(b"\x80\x04.")
    return root


REASONS = {
    "linked/1": "regular file",
    "operator/1": "got 'Evil'",
    "swelling/1": "bytes of memory",
    "altered/1": "digest",
    "pickled/1": "does not list: model.pkl",
}


def test_what_is_hostile_is_refused_with_its_reason_and_the_rest_is_served(start_service, shelf):
    service = start_service(bundles=shelf, bundle_memory=2**28)

    with service.client() as client:
        served = client.get("/comparators").json()
        embedded = client.post("/embed", files=[part(draw(1))])

    assert embedded.status_code == 200
    told = served["refused"]
    assert set(told) == set(REASONS)
    for bundle, reason in REASONS.items():
        assert reason in told[bundle]
    refusals = [line for line in service.log.read_text().splitlines() if "bundle refused" in line]
    assert {json.loads(line)["bundle"] for line in refusals} == set(REASONS)


def test_a_bundle_that_is_replaced_on_disk_changes_nothing_until_the_next_start(
    start_service, tmp_path
):
    bundle = make_bundle(tmp_path / "shelf")
    service = start_service(bundles=tmp_path / "shelf")
    with service.client() as client:
        client.post("/enroll", data={"identity": "ada"}, files=[part(draw(1))])
        before = client.post("/embed", files=[part(draw(1))]).json()["embeddings"]

        shutil.rmtree(bundle)
        make_bundle(tmp_path / "shelf", seed=1)
        after = client.post("/embed", files=[part(draw(1))]).json()["embeddings"]
    service.stop()

    assert after == before
    with start_service(bundles=tmp_path / "shelf").client() as client:
        answer = client.post("/enroll", data={"identity": "ada"}, files=[part(draw(1))])
    assert answer.json()["type"].endswith(("#model-mismatch", "#not-ready")), answer.text
