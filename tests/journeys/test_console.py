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
    finally:
        assert service.stop() == 0


@pytest.fixture(scope="module")
def curve(client):
    """The curve of a gallery in which 30 are enrolled."""
    assert (
        client.post("/galleries", json={"name": "drawn", "target_fpir": 0.07}).status_code == 201
    )
    for i in range(30):
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
