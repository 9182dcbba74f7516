"""What each role may do, on every route there is, and what it is told."""

import random
import socket
import time

import httpx
import pytest
import yaml
from scipy.stats import mannwhitneyu

from service.callers.keys import Role
from service.edge.access import OF_ALL_GALLERIES, OPEN_PATHS, ROLES, SAFE_METHODS
from tests.calls import EVERY, MAKING_A_GALLERY, OF_A_GALLERY, operations, send, told
from tests.drawings import as_json, draw, part
from tests.keys import bearing, entry, write
from tests.refusals import assert_refused
from tests.services import Service

OPEN = {"live", "ready"}
NAMES = {role: f"acme-{role.word}" for role in Role}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, bundles):
    """A service with two tenants: acme, with a key of each role, and other."""
    folder = tmp_path_factory.mktemp("roles")
    keys = write(
        folder / "keys.toml",
        entry("root", "administer"),
        entry("root-read", "read"),
        entry("root-decide", "decide"),
        entry("acme-old", "administer", "acme-*", expires="2020-01-01"),
        *(entry(name, role.word, "acme-*") for role, name in NAMES.items()),
    )
    service = Service(folder / "var", bundles, keys_file=keys)
    try:
        yield _filled(service.start().wait_ready())
    finally:
        assert service.stop() == 0


def _filled(service):
    with service.client(headers=bearing("root")) as root:
        for gallery in ("acme-staff", "other-staff", "acme-spare"):
            assert root.post("/galleries", json={"name": gallery}).status_code == 201
            for i in range(3 * (gallery != "acme-spare")):
                files = [part(draw(100 + i, take)) for take in range(2)]
                fields = {"gallery": gallery, "identity": ("somebody", "b", "c")[i]}
                assert root.post("/enroll", data=fields, files=files).status_code == 201
    return service


@pytest.fixture(scope="module")
def ask(guarded):
    """Ask with a key by its name."""
    clients = {}

    def client(name):
        if name not in clients:
            clients[name] = guarded.client(headers=bearing(name) if name else {})
        return clients[name]

    yield client
    for each in clients.values():
        each.close()


def test_every_route_has_a_role_and_a_request_in_these_tests():
    assert operations() == set(ROLES) == set(EVERY)


@pytest.mark.parametrize("operation", sorted(EVERY))
@pytest.mark.parametrize("key", ["", "nobody", "acme-old"])
def test_without_a_key_that_holds_nothing_is_told(ask, operation, key):
    answer = send(ask(key), EVERY[operation]("acme-staff"))

    if operation in OPEN:
        assert answer.status_code == 200
    else:
        assert_refused(answer, 401, "unauthenticated")


@pytest.mark.parametrize("operation", sorted(EVERY))
@pytest.mark.parametrize("role", Role)
def test_a_route_is_open_from_its_role_on_and_to_none_below(ask, operation, role):
    made_here = operation in MAKING_A_GALLERY or operation == "delete_gallery"
    name = NAMES[role] if operation not in OF_ALL_GALLERIES else f"root-{role.word}"
    if name.startswith("root-") and role > Role.READ:
        name = "root"
    gallery = f"acme-{operation}-{role.word}".replace("_", "-") if made_here else "acme-staff"
    gallery = "acme-spare" if operation == "put_cohort" else gallery
    before = send(ask(NAMES[Role.READ]), EVERY["get_gallery"]("acme-staff")).json()["version"]

    if role >= ROLES[operation] and operation.startswith("forget"):
        return  # what they leave is another test's
    answer = send(ask(name), EVERY[operation](gallery))

    if role < ROLES[operation]:
        assert_refused(answer, 403, "forbidden", "expected a key of role")
        after = send(ask(NAMES[Role.READ]), EVERY["get_gallery"]("acme-staff")).json()["version"]
        assert after == before
    else:
        assert answer.status_code not in (401, 403), answer.text


@pytest.mark.parametrize("operation", sorted(OF_A_GALLERY))
def test_another_scopes_gallery_is_like_one_that_is_not_there(ask, operation):
    request = OF_A_GALLERY[operation]
    absent = send(ask("acme-administer"), request("acme-none"))

    foreign = send(ask("acme-administer"), request("other-staff"))

    assert told(foreign) == told(absent)
    assert_refused(foreign, 404, "not-found")
    assert send(ask("root"), OF_A_GALLERY["get_identity"]("other-staff")).status_code == 200


@pytest.mark.parametrize("operation", sorted(MAKING_A_GALLERY))
def test_no_gallery_is_made_out_of_scope_whether_there_is_one_or_not(ask, operation):
    request = MAKING_A_GALLERY[operation]
    absent = send(ask("acme-administer"), request("other-none"))

    foreign = send(ask("acme-administer"), request("other-staff"))

    assert told(foreign) == told(absent)
    assert_refused(foreign, 404, "not-found")
    assert send(ask("root"), OF_A_GALLERY["get_gallery"]("other-none")).status_code == 404


def test_a_list_has_the_galleries_of_the_scope_only(ask):
    def names(key):
        return {g["name"] for g in ask(key).get("/galleries").json()["galleries"]}

    assert all(name.startswith("acme-") for name in names("acme-read"))
    assert {"acme-staff", "other-staff", "default"} <= names("root")


def test_the_default_gallery_is_out_of_scope_like_any_other(ask):
    fields = {"identity": "x"}

    assert (
        ask("acme-enroll").post("/enroll", data=fields, files=[part(draw(1))]).status_code == 404
    )


def test_series_of_all_galleries_take_a_key_of_all_galleries(ask):
    assert_refused(ask("acme-administer").get("/metrics"), 403, "forbidden", "every gallery")
    assert_refused(ask("root-decide").get("/metrics"), 403, "forbidden", "role read")
    assert ask("root-read").get("/metrics").status_code == 200


def test_to_apply_an_evaluation_takes_who_administers(ask):
    _, path, more = EVERY["evaluate"]("acme-staff")
    more = {**more, "data": more["data"] | {"apply": "true"}}

    assert_refused(ask("acme-enroll").post(path, **more), 403, "forbidden", "administer", "apply")
    assert ask("acme-administer").post(path, **more).status_code != 403


def head_only(url, path, key=""):
    """Send the head of a request whose body never comes; return the answer's first line."""
    host, port = url.removeprefix("http://").split(":")
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}:{port}", "Content-Length: 1000000"]
    lines += ["Content-Type: multipart/form-data; boundary=x", f"X-API-Key: {key}", "", ""]
    with socket.create_connection((host, int(port)), timeout=20) as channel:
        channel.sendall("\r\n".join(lines).encode())
        return channel.recv(200).split(b"\r\n")[0].decode()


@pytest.mark.parametrize(
    ("key", "path", "status"),
    [
        ("", "/enroll", "401"),
        ("wrong", "/evaluate", "401"),
        ("acme-decide-KEY", "/enroll", "403"),
        ("acme-decide-KEY", "/galleries", "403"),
        ("acme-read-KEY", "/galleries/acme-staff/cohort", "403"),
        ("acme-enroll-KEY", "/enroll/bulk?gallery=other-staff", "404"),
    ],
)
def test_who_may_not_is_told_before_the_body_is_read(guarded, key, path, status):
    assert head_only(guarded.url, path, key).split()[1] == status


STRANGER = 8
FIGURES = ("score", "posterior", "unknown_posterior", "p_value")


def test_who_sees_decisions_only_gets_outcome_and_band_and_no_figure_of_a_probe(ask):
    files = [part(draw(100, 5)), part(draw(STRANGER))]
    fields = {"gallery": "acme-staff", "target_fpir": "0.05"}

    told_all = ask("acme-read").post("/identify", data=fields, files=files).json()["results"]
    told_less = ask("acme-decide").post("/identify", data=fields, files=files).json()["results"]

    assert [r["outcome"] for r in told_less] == ["match", "unknown"]
    assert [r["band"] for r in told_less] == ["certain", "no"]
    assert [r["identity"] for r in told_less] == ["somebody", None]
    for all_of_it, less in zip(told_all, told_less, strict=True):
        assert all(all_of_it[figure] is not None for figure in ("score", "p_value"))
        assert all_of_it["candidates"]
        assert [less[figure] for figure in FIGURES] == [None] * 4
        assert less["candidates"] == []
        assert less["decision"] == {"rule": "max", "runner_up": None, "margin": None}
        same = set(less) - {*FIGURES, "candidates", "decision"}
        assert {name: less[name] for name in same} == {name: all_of_it[name] for name in same}


def test_a_pair_is_told_by_band_and_without_figures(ask):
    def verify(key, b):
        files = [part(draw(100), "a"), part(b, "b")]
        return ask(key).post("/verify", data={"target_fmr": "0.1"}, files=files).json()

    same, other = verify("acme-decide", draw(100)), verify("acme-decide", draw(7))

    assert (same["match"], same["band"]) == (True, "certain")
    assert (other["match"], other["band"]) == (False, "no")
    assert {same["score"], same["distance"], other["score"], other["distance"]} == {None}
    assert same["threshold"] == verify("acme-read", draw(100))["threshold"]
    assert verify("acme-read", draw(100))["score"] > 0.9


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/identify", {"threshold": 0.5}),
        ("/identify", {"threshold": 0.1}),
        ("/identify", {"rule": "mean"}),
        ("/identify", {"target_fpir": 0.5}),
        ("/identify", {"target_fpir": 0.0123}),
        ("/verify", {"threshold": 0.5}),
        ("/verify", {"threshold": 0.1}),
        ("/verify", {"target_fmr": 0.0123}),
    ],
)
def test_who_sees_decisions_only_asks_by_the_usual_rates(ask, path, fields):
    body = {"gallery": "acme-staff", "files": [as_json(draw(1))]}
    if path == "/verify":
        body = {"a": as_json(draw(1)), "b": as_json(draw(2))}

    refused = ask("acme-decide").post(path, json=body | fields)

    assert_refused(refused, 403, "forbidden", *fields)
    assert ask("acme-read").post(path, json=body | fields).status_code == 200


@pytest.mark.parametrize("path", ["/identify", "/verify"])
def test_who_sees_decisions_only_sends_samples(ask, path):
    vector = {"embedding": [1.0] + [0.0] * 31}
    body = {"files": [vector], "gallery": "acme-staff"} if path == "/identify" else {}
    body = body or {"a": as_json(draw(1)), "b": vector}

    assert_refused(ask("acme-decide").post(path, json=body), 403, "forbidden", "embeddings")
    assert ask("acme-read").post(path, json=body).status_code == 200


OF_A_PERSON = sorted(
    name for name, request in OF_A_GALLERY.items() if "/somebody" in request("g")[1]
)


@pytest.mark.parametrize("operation", OF_A_PERSON)
def test_who_sees_decisions_only_is_refused_the_same_whether_there_is_such_a_person(
    ask, operation
):
    """X4."""
    method, path, more = OF_A_GALLERY[operation]("acme-staff")

    enrolled = send(ask("acme-decide"), (method, path, more))
    unseen = send(ask("acme-decide"), (method, path.replace("/somebody", "/nobody"), more))

    assert_refused(enrolled, 403, "forbidden")
    assert told(enrolled) == told(unseen)


def test_to_who_sees_decisions_only_the_enrolled_and_the_unseen_differ_in_the_decision_only(ask):
    """X4."""

    def identify(sample):
        body = {"gallery": "acme-staff", "files": [as_json(sample)]}
        answer = ask("acme-decide").post("/identify", json=body)
        [result] = answer.json()["results"]
        return answer.status_code, set(answer.headers), set(answer.json()), result

    *of_enrolled, enrolled = identify(draw(100, 5))
    *of_unseen, unseen = identify(draw(STRANGER))

    assert of_enrolled == of_unseen
    assert set(enrolled) == set(unseen)
    differing = {name for name in enrolled if enrolled[name] != unseen[name]}
    assert differing == {"outcome", "band", "identity", "reason"}


@pytest.mark.slow
def test_how_long_a_decision_takes_does_not_tell_whether_somebody_is_enrolled(
    start_service, tmp_path
):
    """X4."""
    keys = write(tmp_path / "keys.toml", entry("root", "administer"), entry("asks", "decide"))
    service = start_service(keys_file=keys, probes_per_identity=0)
    with service.client(headers=bearing("root")) as root:
        for gallery, first in (("with", 0), ("less", 10)):
            assert root.post("/galleries", json={"name": gallery}).status_code == 201
            for i in range(first, first + 10):
                fields = {"gallery": gallery, "identity": f"id-{i:02}"}
                assert root.post("/enroll", data=fields, files=[part(draw(i))]).status_code == 201
    order = ["with", "less"] * 500
    random.Random(0).shuffle(order)

    took, outcomes = {"with": [], "less": []}, set()
    with service.client(headers=bearing("asks")) as client:
        for gallery in ["with", "less"] * 50 + order:
            body = {"gallery": gallery, "files": [as_json(draw(3, 1))]}
            begun = time.perf_counter()
            answer = client.post("/identify", json=body)
            took[gallery].append(time.perf_counter() - begun)
            outcomes.add((gallery, answer.json()["results"][0]["outcome"]))

    assert outcomes == {("with", "match"), ("less", "unknown")}
    assert mannwhitneyu(took["with"][50:], took["less"][50:]).pvalue > 0.001


def test_openapi_tells_that_figures_may_be_missing_and_which_bands_there_are(ask):
    schemas = yaml.safe_load(ask("root").get("/openapi.json").text)["components"]["schemas"]

    for schema, figures in (("VerifyAnswer", ("score", "distance")), ("Result", FIGURES)):
        fields = schemas[schema]["properties"]
        assert fields["band"]["enum"] == ["certain", "likely", "possible", "no"]
        assert all({"type": "null"} in fields[figure]["anyOf"] for figure in figures)


def test_the_log_has_who_called_and_no_key(guarded, ask):
    ask("acme-read").get("/galleries")
    ask("nobody-canary").get("/galleries")

    log = guarded.log.read_text()

    assert '"caller": "acme-read"' in log
    assert "KEY" not in log
    assert "canary" not in log
    assert entry("acme-read", "read").split('sha256 = "')[1][:64] not in log


def test_refusals_are_counted_by_reason_and_by_nothing_of_the_request(ask):
    def refused():
        lines = ask("root").get("/metrics").text.splitlines()
        series = [line for line in lines if line.startswith("kindred_access_refused_total")]
        return {line.split('"')[1]: float(line.split()[-1]) for line in series}

    before = refused()
    ask("").get("/galleries")
    ask("nobody").get("/galleries")
    ask("acme-old").get("/galleries")
    ask("acme-decide").get("/galleries")
    ask("acme-read").get("/galleries/other-staff")

    grown = {reason: count - before[reason] for reason, count in refused().items()}
    expected = dict.fromkeys(("no-key", "unknown-key", "expired-key", "role", "scope"), 1.0)
    assert {reason: n for reason, n in grown.items() if n} == expected


def test_keys_are_changed_without_a_restart_and_a_broken_file_changes_none(
    tmp_path, start_service
):
    keys = write(tmp_path / "keys.toml", entry("old", "read"))
    service = start_service(keys_file=keys)

    def wait_for(name, status):
        until = time.monotonic() + 30
        while httpx.get(f"{service.url}/galleries", headers=bearing(name)).status_code != status:
            assert time.monotonic() < until
            time.sleep(0.1)

    wait_for("old", 200)
    write(keys, entry("new", "read"), entry("old", "read"))
    wait_for("new", 200)
    write(keys, entry("new", "read"))
    wait_for("old", 401)
    write(keys, "[[key]]\nsha256 = 'canary'\n")
    until = time.monotonic() + 30
    while "kindred_keys_broken 1.0" not in (metrics := seen(service, "new")):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert "kindred_keys 1.0" in metrics
    assert service.log.read_text().count('"keys broken') == 1
    assert "canary" not in service.log.read_text()


def seen(service, name):
    return httpx.get(f"{service.url}/metrics", headers=bearing(name)).text


def test_a_broken_file_at_start_is_told_and_ends_it(tmp_path, bundles):
    keys = write(tmp_path / "keys.toml", entry("a", "boss"))
    service = Service(tmp_path / "var", bundles, keys_file=keys)

    with pytest.raises(AssertionError, match=r"key\.0\.role"):
        service.start()

    assert service.wait() == 3


def test_a_file_of_keys_lets_the_service_listen_beyond_loopback(tmp_path, start_service):
    keys = write(tmp_path / "keys.toml", entry("a", "read"))

    service = start_service(keys_file=keys, host="127.0.0.1", allow_keyless=True)

    assert httpx.get(f"{service.url}/galleries").status_code == 401


@pytest.mark.parametrize("operation", sorted(EVERY))
def test_without_keys_every_route_asks_for_a_loopback_host(client, operation):
    answer = send(client, EVERY[operation]("none"), Host="evil.example")

    if operation in OPEN:
        assert answer.status_code == 200
    else:
        assert_refused(answer, 403, "forbidden", "Host")


@pytest.mark.parametrize("operation", sorted(EVERY))
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_every_route_that_writes_is_closed_to_pages_of_other_sites(client, operation, headers):
    request = EVERY[operation]("none")

    answer = send(client, request, **headers)

    if request[0] in SAFE_METHODS:
        assert answer.status_code != 403
        assert "access-control-allow-origin" not in answer.headers
    else:
        assert_refused(answer, 403, "forbidden")


def test_open_paths_are_those_of_routes_that_need_no_key():
    assert {EVERY[operation]("x")[1] for operation in OPEN} == OPEN_PATHS
