"""The console's pages as a browser asks for them, and the curve that its slider shows."""

import pytest
import yaml

from tests.drawings import draw, part
from tests.keys import bearing, entry, write
from tests.refusals import assert_refused
from tests.services import Service

FILES = [part(draw(1))]


@pytest.fixture(scope="module")
def served(tmp_path_factory, bundles):
    service = Service(tmp_path_factory.mktemp("console") / "var", bundles, max_files=1000)
    yield service.start().wait_ready()
    assert service.stop() == 0


@pytest.fixture(scope="module")
def client(served):
    with served.client() as client:
        yield client


def test_the_console_is_one_page_that_runs_only_what_the_service_brings(client):
    page = client.get("/console/")

    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in page.headers
    assert "camera=(self), microphone=(self)" in page.headers["permissions-policy"]
    policy = dict(
        each.split(" ", 1) for each in page.headers["content-security-policy"].split("; ")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' blob: data:",
        "media-src": "'self' blob:",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "lit-html",
    }


def test_the_page_of_every_call_asks_no_other_server(client):
    page = client.get("/docs")

    assert page.status_code == 200
    assert "://" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get("/redoc").status_code == 404


def test_a_browser_asks_again_only_for_what_changed(client):
    page = client.get("/console/main.js")
    vendored = client.get("/console/vendor/lit-html-3.3.3.js")

    again = client.get("/console/main.js", headers={"If-None-Match": page.headers["etag"]})

    assert page.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert "immutable" in vendored.headers["cache-control"]


def test_pages_go_out_compressed_to_whoever_takes_that(client):
    for path in ("/console/main.js", "/console/console.css", "/console/views/map.js"):
        packed = client.get(path, headers={"Accept-Encoding": "br, GZIP;q=0.5"})
        for refused in ("identity", "gzip;q=0", "gzip; q=0.000, br", ""):
            plain = client.get(path, headers={"Accept-Encoding": refused})
            assert "content-encoding" not in plain.headers
            assert plain.content == packed.content
            assert plain.headers["etag"] == packed.headers["etag"]
        assert packed.headers["content-encoding"] == "gzip"
        assert int(packed.headers["content-length"]) < 0.6 * int(plain.headers["content-length"])
        assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
        assert packed.headers["etag"].startswith('W/"')  # one for both encodings

    drawing = client.get("/console/drawings/greek-01/1.png")
    assert "content-encoding" not in drawing.headers


def test_a_part_of_a_page_is_answered_by_all_of_it(client):
    whole = client.get("/console/main.js")

    part = client.get("/console/main.js", headers={"Range": "bytes=0-9"})

    assert (part.status_code, part.content) == (200, whole.content)
    assert "content-range" not in part.headers


@pytest.mark.parametrize(
    "path", ["nothing", "views", "views/", "../app.py", "%2e%2e/app.py", "main.js/", "Main.js"]
)
def test_unknown_paths_stay_not_found(client, path):
    assert_refused(client.get(f"/console/{path}"), 404, "not-found")


def test_the_console_is_read_only_and_no_part_of_the_api(client):
    assert_refused(client.post("/console/", content=b"x"), 405, "method-not-allowed")
    assert client.get("/console", follow_redirects=False).headers["location"] == "console/"
    paths = client.get("/openapi.json").json()["paths"]
    assert not [path for path in paths if path.startswith(("/console", "/docs"))]


def test_a_name_that_was_rebound_gets_no_page(client):
    assert client.get("/console/", headers={"Host": "evil.example"}).status_code == 403


def test_with_keys_the_pages_are_open_and_the_calls_are_not(tmp_path, bundles):
    keys = write(tmp_path / "keys.toml", entry("reader", "read"), entry("decider", "decide"))
    service = Service(tmp_path / "var", bundles, keys_file=keys).start().wait_ready()
    try:
        with service.client() as client:
            assert client.get("/console/").status_code == 200
            assert client.get("/docs").status_code == 200
            assert client.get("/console/nothing").status_code == 404
            assert client.get("/galleries").status_code == 401
            assert client.get("/consoles").status_code == 401
            curve = "/galleries/default/operating-curve"
            assert client.get(curve, headers=bearing("reader")).status_code == 200
            assert client.get(curve, headers=bearing("decider")).status_code == 403
            assert client.get(f"{curve}/boundary", headers=bearing("reader")).status_code == 200
            assert client.get(f"{curve}/boundary", headers=bearing("decider")).status_code == 403
    finally:
        assert service.stop() == 0


@pytest.fixture(scope="module")
def curve(client):
    """The curve of a gallery in which 50 are enrolled."""
    assert (
        client.post("/galleries", json={"name": "drawn", "target_fpir": 0.07}).status_code == 201
    )
    for i in range(50):
        files = [part(draw(i, take)) for take in (1, 2)]
        fields = {"gallery": "drawn", "identity": f"c{i}"}
        assert client.post("/enroll", data=fields, files=files).status_code == 201
    return client.get("/galleries/drawn/operating-curve").json()


def test_the_curve_says_what_identifying_then_answers(client, curve):
    told = [point for point in curve["points"] if point["threshold"] is not None]
    assert len(told) > 5

    for point in told:
        fields = {"gallery": "drawn", "target_fpir": point["target_fpir"]}
        [result] = client.post("/identify", data=fields, files=FILES).json()["results"]
        assert result["threshold"] == point["threshold"]
        assert result["expected_fnir"] == point["expected_fnir"]
        assert result["expected_fnir_reason"] == point["expected_fnir_reason"]
        assert result["evidence"]["fpir_interval"] == point["fpir_interval"]
        assert result["evidence"]["fnir_interval"] == point["fnir_interval"]


def test_of_fifty_with_two_samples_the_interval_of_misses_holds_the_rate_that_is_told(
    client, curve
):
    told = [point for point in curve["points"] if point["threshold"] is not None]

    assert curve["genuine_trials"] == 50
    for point in told:
        low, high = point["fnir_interval"]
        assert 0 <= low <= point["expected_fnir"] <= high <= 1
        assert high - low > 0.06  # fifty identities tell no more


def test_who_is_nearest_to_a_threshold_is_who_identifying_puts_there(client, curve):
    for i in range(12):  # others than in the fixture, so that samples may be taken out
        files = [part(draw(i, take)) for take in (1, 2)]
        fields = {"gallery": "near", "identity": f"c{i}"}
        if i == 0:
            assert client.post("/galleries", json={"name": "near"}).status_code == 201
        assert client.post("/enroll", data=fields, files=files).status_code == 201
    strangers = [part(draw(1000 + i)) for i in range(40)]
    assert client.post("/galleries/near/cohort", files=strangers).status_code == 201
    path = "/galleries/near/operating-curve"

    for target in (0.05, 0.2):
        found = client.get(f"{path}/boundary", params={"target_fpir": target, "limit": 40}).json()
        points = client.get(path).json()["points"]
        [point] = [each for each in points if each["target_fpir"] == target]
        assert found["threshold"] == point["threshold"]
        assert found["source"] == "gallery"
        sides = found["strangers"]
        assert len(sides["above"]) + len(sides["below"]) == sides["tried"] == 40
        for stranger in [*sides["above"], *sides["below"]]:
            fields = {"gallery": "near", "target_fpir": target}
            files = [strangers[stranger["stranger"]]]
            [result] = client.post("/identify", data=fields, files=files).json()["results"]
            assert result["score"] == stranger["score"]
            assert result["candidates"][0]["identity"] == stranger["nearest"]
            assert (result["outcome"] == "match") == (stranger["outcome"] == "match")

    trials = [*found["enrolled"]["above"], *found["enrolled"]["below"]]
    assert len(trials) == found["enrolled"]["tried"] == 12
    for trial in trials[:4]:
        i = int(trial["identity"][1:])
        sample = f"/galleries/near/identities/{trial['identity']}/samples/{trial['sample']}"
        assert client.delete(sample).status_code == 200
        fields = {"gallery": "near", "threshold": found["threshold"], "top": 12}
        [result] = client.post("/identify", data=fields, files=[part(draw(i, 1))]).json()[
            "results"
        ]
        scores = {each["identity"]: each["score"] for each in result["candidates"]}
        assert scores[trial["identity"]] == trial["score"]
        assert (result["identity"] == trial["identity"]) == (trial["outcome"] == "own")
        again = {"gallery": "near", "identity": trial["identity"]}
        assert client.post("/enroll", data=again, files=[part(draw(i, 1))]).status_code == 201


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "target_fpir=0", "target_fpir=1", "target_fpir=nan"],
)
def test_no_more_of_a_boundary_is_shown_than_may_be(client, curve, query):
    path = "/galleries/drawn/operating-curve/boundary"

    assert_refused(client.get(f"{path}?{query}"), 422, "invalid-parameter")


def test_a_boundary_is_the_gallerys_own_and_of_few_unless_asked_otherwise(client, curve):
    path = "/galleries/drawn/operating-curve/boundary"

    found = client.get(path).json()

    assert found["target_fpir"] == 0.07
    lists = [found[who][side] for who in ("enrolled", "strangers") for side in ("above", "below")]
    assert max(map(len, lists)) == 6
    assert_refused(client.get(f"{path}?target_fpir=0.0001"), 422, "target-unresolvable")
    assert_refused(client.get("/galleries/x/operating-curve/boundary"), 404, "not-found")
    empty = client.get("/galleries/default/operating-curve/boundary").json()
    assert (empty["threshold"], empty["strangers"]["tried"]) == (None, 0)


def test_a_target_that_the_curve_cannot_tell_is_refused_by_identifying(client, curve):
    untold = [point for point in curve["points"] if point["strangers_needed"] is not None]
    assert untold

    for point in untold:
        assert point["target_fpir"] < curve["resolvable_from"]
        assert point["threshold"] is None
        assert 1 / (point["strangers_needed"] + 1) <= point["target_fpir"]
        assert 1 / point["strangers_needed"] > point["target_fpir"]
        fields = {"gallery": "drawn", "target_fpir": point["target_fpir"]}
        answer = client.post("/identify", data=fields, files=FILES)
        assert_refused(answer, 422, "target-unresolvable")


def test_the_gallerys_own_target_is_a_point_and_thresholds_never_rise_with_it(curve):
    targets = [point["target_fpir"] for point in curve["points"]]
    needed = [point["threshold"] for point in curve["points"] if point["threshold"] is not None]

    assert curve["target_fpir"] == 0.07
    assert 0.07 in targets
    assert targets == sorted(set(targets))
    assert needed == sorted(needed, reverse=True)


def test_as_many_strangers_as_the_curve_asks_for_are_enough(client, curve):
    point = [each for each in curve["points"] if each["strangers_needed"] is not None][-1]
    fields = {"name": "judged"}
    assert client.post("/galleries", json=fields).status_code == 201
    assert (
        client.post(
            "/enroll", data={"gallery": "judged", "identity": "a"}, files=FILES
        ).status_code
        == 201
    )
    few, enough = point["strangers_needed"] - 1, point["strangers_needed"]

    for strangers, resolved in ((few, False), (enough, True)):
        files = [part(draw(1000 + i)) for i in range(strangers)]
        assert client.post("/galleries/judged/cohort", files=files).status_code == 201
        points = client.get("/galleries/judged/operating-curve").json()["points"]
        [now] = [each for each in points if each["target_fpir"] == point["target_fpir"]]
        assert (now["threshold"] is not None) == resolved


def test_an_empty_gallery_has_a_curve_without_thresholds(client):
    curve = client.get("/galleries/default/operating-curve").json()

    assert curve["identities"] == 0
    assert {point["threshold"] for point in curve["points"]} == {None}
    reasons = {p["expected_fnir_reason"] for p in curve["points"] if not p["strangers_needed"]}
    assert reasons == {"empty-gallery"}
    assert_refused(client.get("/galleries/nobody/operating-curve"), 404, "not-found")


def test_the_service_says_where_its_console_is(client):
    assert client.get("/").json()["console"] == "/console/"


def test_the_curve_is_a_call_of_the_api(client):
    paths = yaml.safe_load(client.get("/openapi.json").text)["paths"]

    assert (
        paths["/galleries/{gallery}/operating-curve"]["get"]["operationId"]
        == "get_operating_curve"
    )
