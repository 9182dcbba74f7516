"""Planted faults are found, strangers are looked at, purity is asked for: through HTTP."""

import json

import numpy as np
import pytest

from tests.bundles import make_bundle, read_fields, write_manifest
from tests.drawings import draw, part

IDENTITIES, TAKES = 24, 5


def bulk(client, gallery, rows, names):
    lines = [
        json.dumps({"identity": name, "embedding": row})
        for row, name in zip(rows, names, strict=True)
    ]
    answer = client.post(f"/enroll/bulk?gallery={gallery}", content="\n".join(lines))
    outcomes = [json.loads(line) for line in answer.text.splitlines()]
    return [outcome["id"] for outcome in outcomes if "id" in outcome]


@pytest.fixture
def drawn(client):
    """Names and embeddings of drawings: 24 characters, five takes each."""
    contents = [draw(c, take) for c in range(IDENTITIES) for take in range(1, TAKES + 1)]
    rows = client.post("/embed", files=[part(content) for content in contents]).json()
    return [f"c{c:02d}" for c in range(IDENTITIES) for _ in range(TAKES)], rows["embeddings"]


def ids_by_name(client, gallery):
    items = client.get(f"/galleries/{gallery}/identities?limit=1000").json()["items"]
    return {item["identity"]: {sample["id"] for sample in item["samples"]} for item in items}


def test_planted_faults_are_told_with_their_evidence(client, gallery, drawn):
    names, rows = drawn
    flips = {5 * c: (f"c{c:02d}", f"c{c + 9:02d}") for c in range(6)}  # one name in twenty
    for i, (_, name) in flips.items():
        names[i] = name
    names[60:62] = ["twice", "twice"]  # of c12
    names[-1] = "alone"  # of c23
    bulk(client, gallery, rows, names)

    answer = client.get(f"/galleries/{gallery}/health")

    assert answer.status_code == 200, answer.text
    found, enrolled = answer.json(), ids_by_name(client, gallery)
    assert (found["gallery"], found["samples"]) == (gallery, len(names))
    assert found["version"] == client.get(f"/galleries/{gallery}").json()["version"]
    wrong = {(each["identity"], each["rather"]) for each in found["mislabelled"]}
    assert len(wrong & {(name, rather) for rather, name in flips.values()}) >= 5
    assert 0.02 < found["wrong_names"] < 0.1
    for each in found["mislabelled"]:
        assert each["id"] in enrolled[each["identity"]]
        assert each["rather_score"] > each["score"]
        assert 0.5 <= each["probability"] <= 1
    assert ["c12", "twice"] in [each["identities"] for each in found["duplicates"]]
    for each in found["duplicates"]:
        for sample, name in zip(each["samples"], each["identities"], strict=True):
            assert sample in enrolled[name]
    assert {each["identity"] for each in found["few_samples"]} >= {"twice", "alone"}
    assert "check" in found["timings_ms"]


def test_with_a_limit_that_many_are_ranked_and_without_the_likely_ones_told(
    client, gallery, drawn
):
    names, rows = drawn
    for character in range(6):
        names[5 * character] = f"c{character + 9:02d}"
    bulk(client, gallery, rows, names)

    told = client.get(f"/galleries/{gallery}/health").json()
    ranked = client.get(f"/galleries/{gallery}/health?limit=30").json()

    assert 1 <= len(told["mislabelled"]) < 30
    for name in ("mislabelled", "duplicates"):
        assert len(ranked[name]) == 30
        assert [each for each in ranked[name] if each["likely"]] == told[name]


def test_lists_keep_to_the_limit_and_few_is_what_is_asked(client, gallery, drawn):
    names, rows = drawn
    bulk(client, gallery, rows, names)

    found = client.get(f"/galleries/{gallery}/health?few=6&limit=4").json()

    assert len(found["few_samples"]) == 4
    assert len(client.get(f"/galleries/{gallery}/health?few=6").json()["few_samples"]) == 24


def test_a_small_gallery_is_too_little_to_say(client, gallery):
    empty = client.get(f"/galleries/{gallery}/health").json()
    client.post("/enroll", data={"identity": "one", "gallery": gallery}, files=[part(draw(1))])
    found = client.get(f"/galleries/{gallery}/health").json()

    assert (empty["identities"], found["identities"]) == (0, 1)
    for name in ("mislabelled", "duplicates", "goats", "wrong_names"):
        assert found[name] is None
    assert found["few_samples"] == [{"identity": "one", "samples": 1}]


@pytest.mark.parametrize("query", ["few=0", "limit=0", "limit=1001", "few=many"])
def test_a_check_up_that_breaks_a_rule_is_refused(client, gallery, query):
    answer = client.get(f"/galleries/{gallery}/health?{query}")

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("#invalid-parameter")


def test_the_health_of_no_gallery_is_not_found(client):
    assert client.get("/galleries/nowhere/health").status_code == 404


def test_strangers_who_are_enrolled_are_warned_of(client, gallery):
    for character in range(10):
        client.post(
            "/enroll",
            data={"identity": f"id-{character}", "gallery": gallery},
            files=[part(draw(character, take)) for take in (1, 2)],
        )
    strangers = [draw(c) for c in range(2000, 2117)] + [draw(c, 7) for c in (3, 5)] + [draw(2000)]

    answer = client.post(f"/galleries/{gallery}/cohort", files=[part(s) for s in strangers])

    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["cohort_identities"] == 120
    alike = {each["index"]: each for each in told["look_alikes"]}
    assert (alike[117]["identity"], alike[118]["identity"]) == ("id-3", "id-5")
    assert all(each["p_value"] <= 0.05 for each in alike.values())
    assert len(alike) <= 2 + 15  # by chance 6 of 118
    assert told["repeats"] == [{"index": 119, "same_as": 0}]
    assert "would be named" in told["warnings"][0]
    assert "there twice" in told["warnings"][1]
    assert len(told["warnings"]) == 2


def test_few_strangers_are_warned_of_with_what_they_resolve(client, gallery):
    answer = client.post(
        f"/galleries/{gallery}/cohort", files=[part(draw(c)) for c in range(3000, 3009)]
    ).json()

    assert answer["look_alikes"] == []
    assert answer["repeats"] == []
    [warning] = answer["warnings"]
    assert "9 strangers resolve a target FPIR of 0.1 at least" in warning
    assert "0.01 and 0.05 will be refused" in warning
    refused = client.post("/identify", data={"gallery": gallery}, files=[part(draw(1))])
    assert refused.status_code == 422


def test_groups_of_strangers_are_looked_at_once_each(client, gallery):
    client.post("/enroll", data={"identity": "Ada", "gallery": gallery}, files=[part(draw(1))])
    files = [part(draw(1, 5)), part(draw(1, 6)), part(draw(4000))]

    answer = client.post(
        f"/galleries/{gallery}/cohort",
        data={"identities": ["zoe", "zoe", "yan"]},
        files=files,
    ).json()

    assert answer["cohort_identities"] == 2
    assert [each["index"] for each in answer["look_alikes"]] == [0]


def test_a_purity_that_was_not_measured_is_refused_with_the_reason(client):
    answer = client.post("/cluster", data={"target_purity": "0.95"}, files=[part(draw(1))])

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("#target-unresolvable")
    assert "no purity" in answer.json()["detail"]


@pytest.mark.parametrize(
    "beside", [{"threshold": "0.5"}, {"target_fmr": "0.1"}, {"method": "leader"}]
)
def test_a_purity_goes_with_linkage_and_nothing_else(client, beside):
    answer = client.post(
        "/cluster", data={"target_purity": "0.95"} | beside, files=[part(draw(1))]
    )

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("#invalid-parameter")


def test_a_purity_that_was_measured_tells_where_to_cut(tmp_path, start_service):
    folder = make_bundle(tmp_path / "bundles", "tiny", cohort=99, dimension=32)
    laws = [
        {"purity": purity, "log_odds": odds, "by_clusters": 0.2, "clusters": [2, 50]}
        for purity, odds in ((0.9, -0.5), (0.98, 0.5))
    ]
    fields = read_fields(folder)
    write_manifest(
        folder, fields | {"calibration": fields["calibration"] | {"cluster_purity": laws}}
    )
    contents = [draw(c, take) for c in (1, 2, 3) for take in (1, 2)]

    with start_service(bundles=tmp_path / "bundles").client() as client:
        answers = [
            client.post(
                "/cluster", data={"target_purity": asked}, files=[part(c) for c in contents]
            )
            for asked in ("0.85", "0.95", "0.99")
        ]

    loose, strict, beyond = answers
    assert (loose.json()["purity"], strict.json()["purity"]) == (0.9, 0.98)
    assert loose.json()["threshold"] < strict.json()["threshold"]
    assert [c["members"] for c in strict.json()["clusters"]] == [[0, 1], [2, 3], [4, 5]]
    assert beyond.status_code == 422
    assert "a purity of 0.98 at most" in beyond.json()["detail"]


def test_a_clustered_gallery_names_its_samples(client, gallery, drawn):
    names, rows = drawn
    names[3] = "again"
    bulk(client, gallery, rows, names)

    answer = client.post("/cluster", json={"gallery": gallery, "threshold": 0.7}).json()

    enrolled = ids_by_name(client, gallery)
    together = [set(cluster["members"]) for cluster in answer["clusters"]]
    assert set().union(*together) == set().union(*enrolled.values())
    assert any(enrolled["again"] < members >= enrolled["c00"] for members in together)
    assert np.isclose(answer["threshold"], 0.7)
    assert answer["purity"] is None
