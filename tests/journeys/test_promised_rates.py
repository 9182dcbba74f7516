"""The operating curve comes true: strangers and the enrolled, identified and counted."""

import json

import numpy as np
import pytest
from scipy.stats import betabinom, binomtest

from tests.bundles import make_bundle
from tests.drawings import part, png
from tests.services import Service

pytestmark = pytest.mark.slow

SIDE = 12  # pixels
FILES = 200  # in one request
COHORT = 1999
STRANGERS = 4000
KNOWN, ENROLLED, PROBES = 100, 16, 10  # identities; by how many samples known, and asked for
TARGETS = (0.01, 0.05, 0.2)
SURE = 0.999


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A service whose bundle has strangers like those who come."""
    root = tmp_path_factory.mktemp("rates")
    make_bundle(root / "bundles", size=SIDE, dimension=32, cohort=COHORT)
    service = Service(root / "var", root / "bundles")
    with service.start().wait_ready().client() as client:
        yield client
    assert service.stop() == 0


@pytest.fixture(scope="module")
def embed(client):
    """Make scribbles of characters in takes that differ, as the service embeds them."""

    def made(seed, characters, takes=1):
        rng = np.random.default_rng(seed)
        ink = rng.random((characters, 1, SIDE, SIDE)) < 0.5
        smudged = ink ^ (rng.random((characters, takes, SIDE, SIDE)) < 0.2 * (takes > 1))
        pictures = np.where(smudged, 0, 255).astype(np.uint8).reshape(-1, SIDE, SIDE)
        rows = []
        for start in range(0, len(pictures), FILES):
            files = [part(png(each)) for each in pictures[start : start + FILES]]
            rows += client.post("/embed", files=files).raise_for_status().json()["embeddings"]
        return np.array(rows).reshape(characters, takes, -1)

    return made


@pytest.fixture(scope="module")
def known(embed):
    return embed(0, KNOWN, ENROLLED + PROBES)


@pytest.fixture(scope="module")
def strangers(embed):
    return embed(1, STRANGERS)[:, 0]


@pytest.fixture(scope="module", params=["bundle", "gallery"])
def curve(request, client, embed, known):
    """The curve of a gallery, judged by the strangers of its bundle or by its own."""
    gallery = f"by-{request.param}"
    client.post("/galleries", json={"name": gallery}).raise_for_status()
    lines = [
        json.dumps({"identity": f"c{i}", "embedding": sample.tolist()})
        for i, takes in enumerate(known)
        for sample in takes[:ENROLLED]
    ]
    answer = client.post("/enroll/bulk", params={"gallery": gallery}, content="\n".join(lines))
    assert "problem" not in answer.text
    if request.param == "gallery":
        own = client.post(f"/galleries/{gallery}/cohort", json=ready(embed(2, COHORT)[:, 0]))
        assert own.status_code == 201, own.text

    found = client.get(f"/galleries/{gallery}/operating-curve").json()

    assert (found["source"], found["cohort_identities"]) == (request.param, COHORT)
    return found


def ready(embeddings):
    return {"files": [{"embedding": row.tolist()} for row in embeddings]}


@pytest.fixture(params=TARGETS)
def point(request, curve):
    [point] = [each for each in curve["points"] if each["target_fpir"] == request.param]
    return point


def identified(client, curve, point, probes):
    """Return whom each probe is named as, by the threshold that the curve tells and no other."""
    fields = {"gallery": curve["gallery"], "target_fpir": point["target_fpir"], "top": 1}
    answer = client.post("/identify", json=fields | ready(probes)).raise_for_status()
    results = answer.json()["results"]
    assert {result["threshold"] for result in results} == {point["threshold"]}
    return [result["identity"] for result in results]


def test_as_many_strangers_are_named_as_were_asked_for(client, curve, point, strangers):
    names = identified(client, curve, point, strangers)

    named = STRANGERS - names.count(None)
    rank = point["target_fpir"] * (COHORT + 1)  # of a threshold among exchangeable strangers
    least, most = betabinom(STRANGERS, rank, COHORT + 1 - rank).interval(SURE)
    assert least <= named <= most


def test_as_many_of_the_enrolled_are_missed_as_the_curve_says(client, curve, point, known):
    names = identified(client, curve, point, known[:, ENROLLED:].reshape(KNOWN * PROBES, -1))

    right = np.repeat([f"c{i}" for i in range(KNOWN)], PROBES)
    missed = sum(name != own for name, own in zip(names, right, strict=True))
    seen = binomtest(missed, len(names)).proportion_ci(SURE)
    low, high = point["fnir_interval"]
    assert low <= seen.high
    assert seen.low <= high
    assert high - low < 0.25  # a hundred identities tell as much
