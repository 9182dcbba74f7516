import pytest
from pydantic import ValidationError

from service.__main__ import main
from service.settings import Settings


def test_settings_are_read_from_the_environment_and_frozen(monkeypatch):
    monkeypatch.setenv("KINDRED_PORT", "9000")

    settings = Settings()

    assert settings.port == 9000
    with pytest.raises(ValidationError):
        settings.port = 1


def test_each_process_has_a_port_above_the_shared_one():
    with pytest.raises(ValidationError, match="KINDRED_PORT"):
        Settings(port=65534, processes=2)

    assert Settings(port=65533, processes=2).processes == 2
    assert Settings(port=65535).port == 65535


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_keys(host):
    assert Settings(host=host).is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104
def test_any_other_address_needs_keys_or_an_explicit_word(host):
    with pytest.raises(ValidationError, match="KINDRED_API_KEYS"):
        Settings(host=host)

    assert Settings(host=host, api_keys="k").keys() == ("k",)
    assert Settings(host=host, allow_keyless=True).keys() == ()


def test_whoever_can_connect_is_in_doubt_only_where_nobody_is_asked_who_they_are():
    """X17."""
    assert Settings().doubts() == []
    assert Settings(host="::", api_keys="k").doubts() == []
    (doubt,) = Settings(host="::", allow_keyless=True).doubts()
    assert "KINDRED_HOST" in doubt


@pytest.mark.parametrize(
    ("url", "doubtful"),
    [
        ("unix:///run/redis.sock", False),
        ("redis://localhost:6379/0", True),
        ("rediss://default@cache:6379", True),
        ("redis://:secret@cache", False),
        ("redis://cache?password=secret", False),
        ("rediss://kindred:secret@cache:6379/0", False),
        ("redis+sentinel://a:1,b:2/main", True),
        ("redis+sentinel://kindred:secret@a:1,b:2/main", False),
        ("redis+sentinel://a:1/main?sentinel_password=secret", True),
    ],
)
def test_redis_over_the_network_is_in_doubt_unless_it_asks_for_a_password(url, doubtful):
    """X17."""
    doubts = Settings(redis_url=url).doubts()

    assert len(doubts) == doubtful
    assert "secret" not in str(doubts)


def test_keys_and_the_password_of_the_store_are_not_shown():
    """X16."""
    settings = Settings(api_keys="s3same", redis_url="redis://user:s3same@host")

    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "s3same" not in shown


def test_a_mistake_in_the_address_of_the_store_does_not_show_its_password(monkeypatch, capsys):
    """X16."""
    monkeypatch.setenv("KINDRED_REDIS_URL", "radish://user:s3same@host")

    assert main() == 2

    told = capsys.readouterr().err
    assert "KINDRED_REDIS_URL" in told
    assert "s3same" not in told


def test_a_limit_below_its_least_is_refused():
    with pytest.raises(ValidationError, match="max_files"):
        Settings(max_files=0)


def test_a_file_of_keys_is_as_good_as_keys():
    assert not Settings(host="192.0.2.1", keys_file="keys.toml").is_loopback


@pytest.mark.parametrize("url", ["rediss://u:p@host:1/0", "rediss://host?ssl_certfile=c.pem"])
def test_the_authorities_of_the_store_go_into_its_url(url):
    told = Settings(redis_url=url, redis_ca_file="/etc/ca one.pem").store_url()

    assert told.startswith(url)
    assert told[len(url)] == ("&" if "?" in url else "?")
    assert told.endswith("ssl_ca_certs=%2Fetc%2Fca+one.pem")


@pytest.mark.parametrize("url", [None, "redis://host", "unix:///tmp/s"])
def test_authorities_without_tls_are_a_mistake_that_is_told(url):
    with pytest.raises(ValidationError, match="REDIS_CA_FILE"):
        Settings(redis_url=url, redis_ca_file="/etc/ca.pem")
