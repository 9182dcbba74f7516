"""Who may call: keys, hosts, and pages of other sites."""

import pytest

from tests.drawings import draw, part
from tests.services import Service

FILES = [part(draw(1))]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, bundles):
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "keys").write_text("from-a-file\n\n")
    service = Service(
        folder / "var", bundles, api_keys="alpha, beta", api_keys_file=folder / "keys"
    )
    yield service.start().wait_ready()
    service.stop()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer alpha"},
        {"Authorization": "bearer beta"},
        {"X-API-Key": "from-a-file"},
    ],
)
def test_a_known_key_opens_the_service(guarded, headers):
    with guarded.client(headers=headers) as client:
        assert client.post("/embed", files=FILES).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer alph"},
        {"Authorization": "Basic alpha"},
        {"X-API-Key": "alpha,beta"},
        {"X-API-Key": "é".encode()},
    ],
)
@pytest.mark.parametrize("path", ["/embed", "/galleries", "/metrics", "/openapi.json", "/nothing"])
def test_without_a_known_key_nothing_is_told(guarded, headers, path):
    with guarded.client(headers=headers) as client:
        answer = client.post(path, files=FILES) if path == "/embed" else client.get(path)

    assert answer.status_code == 401
    assert answer.json()["type"].endswith("#unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_the_head_alone_may_be_asked_for_of_what_is_watched(client, path):
    whole, head = client.get(path), client.head(path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_health_needs_no_key(guarded):
    with guarded.client() as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 200


def test_keys_are_not_logged(guarded):
    with guarded.client(headers={"Authorization": "Bearer wrong-canary"}) as client:
        client.get("/galleries")

    assert "canary" not in guarded.log.read_text()
    assert "alpha" not in guarded.log.read_text()


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "[]", "[[[]]]", "[x"]
)
def test_without_keys_another_host_name_is_refused(client, host):
    answer = client.get("/galleries", headers={"Host": host})

    assert answer.status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:80"])
def test_without_keys_loopback_names_are_let_in(client, host):
    assert client.get("/galleries", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[]"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_cannot_write(client, headers):
    answer = client.post("/enroll", data={"identity": "x"}, files=FILES, headers=headers)

    assert answer.status_code == 403
    assert answer.json()["type"].endswith("#forbidden")


def test_a_page_of_the_service_itself_can_write(running_service, client, gallery):
    answer = client.post(
        "/enroll",
        data={"identity": "x", "gallery": gallery},
        files=FILES,
        headers={"Origin": running_service.url, "Sec-Fetch-Site": "same-origin"},
    )

    assert answer.status_code == 201


def test_the_service_does_not_listen_beyond_loopback_without_keys(tmp_path, bundles):
    service = Service(tmp_path / "var", bundles, host="0.0.0.0")  # noqa: S104 - it must refuse

    with pytest.raises(AssertionError, match="KINDRED_API_KEYS"):
        service.start()

    assert service.process.wait() == 2
