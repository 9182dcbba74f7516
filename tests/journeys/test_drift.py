"""Blurred handwriting crosses the drift limit of the shipped comparator, and clean does not."""

import io
import time
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageFilter
from prometheus_client.parser import text_string_to_metric_families

from service.watching.drift import WINDOW
from tests.drawings import part
from tests.services import ROOT, Service

pytestmark = pytest.mark.slow

AT_ONCE = 250  # uploads in a request
ENROLLED = 60
PATIENCE = 30  # seconds


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    bundles = ROOT / "models_store" / "bundles"
    service = Service(tmp_path_factory.mktemp("shipped") / "var", bundles).start().wait_ready()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def drawings(shared_data):
    """Drawings by 20 people of characters of every alphabet there is, in some order."""
    with zipfile.ZipFile(shared_data / "omniglot" / "images_background.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        chosen = np.random.default_rng(0).choice(names, 2000, replace=False)
        return [(name.rpartition("/")[0], archive.read(name)) for name in chosen]


def blurred(content: bytes) -> bytes:
    """The drawing as a lens out of focus shows it."""
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(content)).convert("L")
    picture.filter(ImageFilter.GaussianBlur(6)).save(buffer, "PNG")
    return buffer.getvalue()


def drift(client):
    """The index, its limit, and how many probes it rests on, as they are shown next."""
    time.sleep(1.2)  # the gauges are set anew every second
    families = text_string_to_metric_families(client.get("/metrics").text)
    series = {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("comparator") == "ink@1"
    }
    return tuple(
        series[f"kindred_score_drift_{name}"] for name in ("psi", "psi_limit", "window_samples")
    )


def test_clean_probes_never_cross_the_limit_and_blurred_ones_do_within_a_window(shipped, drawings):
    """A gallery of sixty characters, and probes of these and of any others."""
    rng, clean = np.random.default_rng(1), []
    pool = [content for _, content in drawings]
    first = dict(drawings)
    with shipped.client() as client:
        for number, character in enumerate(sorted(first)[:: len(first) // ENROLLED][:ENROLLED]):
            client.post(
                "/enroll", data={"identity": f"{number}"}, files=[part(first[character])]
            ).raise_for_status()
        embeddings = []
        for start in range(0, len(pool), AT_ONCE):
            answer = client.post("/embed", files=[part(each) for each in pool[start:][:AT_ONCE]])
            embeddings += answer.json()["embeddings"]

        for _ in range(20):
            window = rng.choice(len(pool), WINDOW, replace=False)
            probes = [{"embedding": embeddings[row]} for row in window]
            client.post("/identify", json={"files": probes, "top": 1}).raise_for_status()
            clean.append(drift(client))
        for start in range(0, WINDOW, AT_ONCE):
            files = [part(blurred(each)) for each in pool[start:][:AT_ONCE]]
            client.post("/identify", files=files).raise_for_status()
        deadline = time.monotonic() + PATIENCE
        while (now := drift(client))[0] <= now[1]:
            assert time.monotonic() < deadline, now

    assert clean[-1][2] == WINDOW
    assert [(index, limit) for index, limit, _ in clean if index > limit] == []
