"""A decision says what it rests on, and is the same to the last bit wherever it is made again."""

import httpx
import pytest

from tests.drawings import draw, part
from tests.servers import free_port


def enroll(client, gallery, people=8):
    for person in range(people):
        files = [part(draw(person, take)) for take in (1, 2, 3)]
        data = {"identity": f"id-{person}", "gallery": gallery}
        assert client.post("/enroll", data=data, files=files).status_code == 201


def identify(client, gallery, probes, **fields):
    answer = client.post(
        "/identify",
        data={"gallery": gallery} | fields,
        files=[part(probe) for probe in probes],
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def record(answer):
    """Return everything of an answer but the time it took."""
    return {name: value for name, value in answer.items() if name != "timings_ms"}


PROBES = [draw(3, 9), draw(5, 8), draw(700), draw(701)]


def test_a_result_names_what_it_rests_on(client, gallery):
    enroll(client, gallery)

    answer = identify(client, gallery, PROBES, top=3, k=2)

    described = client.get(f"/galleries/{gallery}").json()
    assert answer["digest"] == described["digest"]
    assert answer["version"] == described["version"] == 8
    for result in answer["results"]:
        first, second, _ = result["candidates"]
        decision = result["decision"]
        assert decision["rule"] == described["rule"]
        assert decision["runner_up"] == second["identity"]
        assert decision["margin"] == first["score"] - second["score"] >= 0
        assert result["score"] == max(sample["score"] for sample in first["samples"])
        assert (result["outcome"] == "match") == (result["score"] >= result["threshold"])
        assert result["evidence"]["source"] == "bundle"
        assert result["evidence"]["cohort_identities"] == 400
        assert (result["posterior"], result["posterior_reason"]) == (None, "no-calibration")
    stored = client.get(f"/galleries/{gallery}/identities/id-3").json()
    nearest = answer["results"][0]["candidates"][0]["samples"]
    assert {sample["id"] for sample in nearest} < {sample["id"] for sample in stored["samples"]}


@pytest.mark.parametrize("rule", ["max", "mean", "centroid", "knn"])
def test_how_many_candidates_are_listed_changes_nothing_else(client, gallery, rule):
    enroll(client, gallery)

    told = [
        [
            {name: value for name, value in result.items() if name != "candidates"}
            for result in identify(client, gallery, PROBES, rule=rule, top=top, k=k)["results"]
        ]
        for top, k in ((1, 1), (2, 5), (50, 50))
    ]

    assert told[0] == told[1] == told[2]
    assert all(result["decision"]["runner_up"] for result in told[0])
    assert all(result["decision"]["rule"] == rule for result in told[0])


def test_one_candidate_is_told_when_one_is_asked_for(client, gallery):
    enroll(client, gallery)

    answer = identify(client, gallery, PROBES, top=1)

    assert [len(result["candidates"]) for result in answer["results"]] == [1] * 4


def test_who_is_alone_has_no_runner_up(client, gallery):
    (nobody,) = identify(client, gallery, PROBES[:1])["results"]
    enroll(client, gallery, people=1)
    (alone,) = identify(client, gallery, PROBES[:1])["results"]

    for result in (nobody, alone):
        assert result["decision"] == {"rule": "max", "runner_up": None, "margin": None}


def by_every_rule(client):
    return [
        record(identify(client, "default", PROBES, rule=rule))
        for rule in ("max", "mean", "centroid", "knn")
    ]


@pytest.mark.slow
def test_the_same_decision_again_after_a_restart_and_elsewhere(
    start_server, start_service, tmp_path
):
    redis = start_server(port=(port := free_port()))
    url = f"redis://127.0.0.1:{port}"
    service = start_service(redis_url=url)
    with service.client() as client:
        enroll(client, "default")
        client.delete("/galleries/default/identities/id-2")
        first = by_every_rule(client)

        assert by_every_rule(client) == first
        one_by_one = [identify(client, "default", [probe])["results"][0] for probe in PROBES]
        assert [result | {"index": 0} for result in first[0]["results"]] == one_by_one

    service.kill9()
    again = start_service(redis_url=url)
    elsewhere = start_service(redis_url=url, data_dir=tmp_path / "elsewhere")

    for other in (again, elsewhere):
        with httpx.Client(base_url=other.url, timeout=30) as client:
            assert by_every_rule(client) == first
    assert redis.process.poll() is None
