"""The compose files hold together with the Dockerfile, the settings and each other."""

import asyncio
import os
import re
import subprocess

import pytest
import yaml
from pydantic import ValidationError

from service.settings import Settings
from service.store.durable_redis import DurableRedis
from tests.dockerfile import ARGUMENTS, STAGES, made_of
from tests.servers import VALKEY, Server
from tests.services import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
ON_GPU = yaml.safe_load((ROOT / "deploy/docker-compose.gpu.yml").read_text())
SERVICES = COMPOSE["services"]
KEY_FILE = "/run/secrets/api-key"


def test_the_four_services_are_there_and_training_only_when_asked_for():
    always = {name for name, service in SERVICES.items() if "profiles" not in service}

    assert always == {"service", "redis", "prometheus", "grafana"}
    assert SERVICES["training"]["profiles"] == ["training"]


def test_no_image_is_whatever_is_newest_today():
    images = [service["image"] for service in SERVICES.values() if "build" not in service]

    assert len(images) == 3
    assert all(re.search(r":v?\d", image) for image in images)


def test_only_this_machine_can_connect():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert COMPOSE["networks"]["store"] == {"internal": True}
    assert SERVICES["redis"]["networks"] == ["store"]


@pytest.mark.parametrize("kind", ["networks", "volumes", "secrets"])
def test_what_compose_declares_and_what_services_use_are_the_same(kind):
    used = {
        entry.partition(":")[0]
        for service in SERVICES.values()
        for entry in service.get(kind, [])
        if not entry.startswith("./")
    }

    assert used == set(COMPOSE[kind])


def test_what_compose_mounts_exists_where_programs_look_for_it():
    mounts = dict(
        entry.split(":")[:2]
        for service in SERVICES.values()
        for entry in service.get("volumes", [])
        if entry.startswith("./")
    )
    provider = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/dashboards/kindred.yml").read_text()
    )["providers"][0]
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    assert all((ROOT / source).is_dir() for source in mounts)
    assert provider["options"]["path"] == mounts["./deploy/grafana/dashboards"]
    assert home.startswith(mounts["./deploy/grafana/dashboards"])
    assert (ROOT / "deploy/grafana/dashboards" / home.rpartition("/")[2]).is_file()
    assert mounts["./deploy/prometheus"] == "/etc/prometheus"
    assert all((ROOT / "deploy/prometheus" / name).is_file() for name in scrape["rule_files"])


def test_prometheus_scrapes_the_service_with_the_key_of_its_clients():
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())[
        "scrape_configs"
    ]

    assert job["static_configs"] == [{"targets": ["service:8000"]}]
    assert job["authorization"] == {"credentials_file": KEY_FILE}
    assert SERVICES["service"]["environment"]["KINDRED_API_KEYS_FILE"] == KEY_FILE
    assert SERVICES["prometheus"]["secrets"] == SERVICES["service"]["secrets"] == ["api-key"]


def test_grafana_finds_prometheus_without_a_fixed_uid():
    path = ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml"
    (source,) = yaml.safe_load(path.read_text())["datasources"]

    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    assert "uid" not in source


@pytest.mark.parametrize("file", [COMPOSE, ON_GPU], ids=["compose", "gpu"])
def test_compose_builds_targets_with_arguments_that_the_dockerfile_knows(file):
    for name, service in file["services"].items():
        build = service.get("build", {})
        target = build.get("target", SERVICES[name].get("build", {}).get("target"))
        if build:
            declared = set(ARGUMENTS).union(*(STAGES[s].arguments for s in made_of(target)))
            assert set(build["args"]) <= declared, name


def test_the_gpu_file_asks_for_a_gpu_and_the_gpu_variant():
    for service in ON_GPU["services"].values():
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]
        assert service["build"]["args"]["VARIANT"] == "gpu"


@pytest.fixture
def composed(monkeypatch, tmp_path):
    """The environment of the composed service, with its secret where a test may write."""
    environment = STAGES["service"].environment | SERVICES["service"]["environment"]
    for name in os.environ:
        if name.startswith("KINDRED_"):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        if name.startswith("KINDRED_"):
            monkeypatch.setenv(name, value.replace(KEY_FILE, str(tmp_path / "api-key")))
    return tmp_path / "api-key"


def test_the_composed_service_starts_with_its_key(composed):
    composed.write_text("0123456789abcdef\n")

    settings = Settings()

    assert settings.keys() == ("0123456789abcdef",)
    assert not settings.is_loopback
    grace = int(SERVICES["service"]["stop_grace_period"].removesuffix("s"))
    assert grace > settings.drain_timeout


def test_the_composed_service_does_not_start_without_a_key(composed):
    composed.write_text("\n")

    with pytest.raises(ValidationError, match="not loopback"):
        Settings()


def test_the_service_root_is_read_only_but_for_what_it_writes():
    service = SERVICES["service"]

    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - a private one, in the container
    assert STAGES["service"].last("VOLUME") in service["volumes"][0]
    assert service["cap_drop"] == ["ALL"]


def test_the_service_trusts_the_store_that_compose_starts(tmp_path):
    program, *words = SERVICES["redis"]["command"]
    options = dict(zip(words[::2], words[1::2], strict=True))
    store = Server(
        VALKEY, tmp_path / "s", {name.removeprefix("--"): v for name, v in options.items()}
    ).wait()

    async def check():
        redis = DurableRedis(store.url)
        try:
            return await redis.check()
        finally:
            await redis.close()

    try:
        findings = asyncio.run(check())
    finally:
        store.kill9()

    assert program == "valkey-server"
    assert findings == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_the_key_is_never_committed():
    ignored = subprocess.run(["git", "check-ignore", "-q", "deploy/secrets/api-key"], cwd=ROOT)

    assert ignored.returncode == 0
