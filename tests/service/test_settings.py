import pytest
from pydantic import ValidationError

from service.settings import Settings


def test_settings_are_read_from_the_environment_and_frozen(monkeypatch):
    monkeypatch.setenv("KINDRED_PORT", "9000")

    settings = Settings()

    assert settings.port == 9000
    with pytest.raises(ValidationError):
        settings.port = 1


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_keys(host):
    assert Settings(host=host).is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104
def test_any_other_address_needs_keys_or_an_explicit_word(host):
    with pytest.raises(ValidationError, match="KINDRED_API_KEYS"):
        Settings(host=host)

    assert Settings(host=host, api_keys="k").keys() == ("k",)
    assert Settings(host=host, allow_keyless=True).keys() == ()


def test_keys_are_not_shown():
    assert "s3same" not in repr(Settings(api_keys="s3same"))


def test_a_limit_below_its_least_is_refused():
    with pytest.raises(ValidationError, match="max_files"):
        Settings(max_files=0)
