"""The Dockerfile holds together, and its commands do what they say."""

import fnmatch
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from service.settings import Settings
from tests.dockerfile import ARGUMENTS, STAGES, made_of
from tests.promises.lock import without_ourselves
from tests.services import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def sent_to_the_builder(path):
    """Whether .dockerignore, which lets in only what it lists, lets this in."""
    allowed = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    return any(fnmatch.fnmatch(path, pattern) for pattern in allowed)


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_both_variants_have_a_base_and_an_extra(variant):
    assert f"base-{variant}" in made_of("service", variant)
    service, *libraries = PROJECT["optional-dependencies"][variant]
    assert service == "kindred[service]"
    assert any(library.startswith("onnxruntime") for library in libraries)


def test_a_plain_build_makes_the_cpu_service():
    assert ARGUMENTS == {"VARIANT": "cpu"}
    assert list(STAGES)[-1] == "service"


def test_nothing_of_training_reaches_the_service_image():
    steps = [words for name in made_of("service") for _, words in STAGES[name].steps]

    assert "build-training" not in made_of("service")
    assert not [words for words in steps if "torch" in words or "training" in words]


@pytest.mark.parametrize("target", ["service", "training"])
def test_what_is_copied_exists_and_is_sent(target):
    copies = [words for name in made_of(target) for words in STAGES[name].all("COPY")]

    for words in copies:
        if "--from=" not in words:
            for source in words.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert sent_to_the_builder(source), source


@pytest.mark.parametrize("target", ["service", "training"])
def test_images_do_not_run_as_root_nor_through_a_shell(target):
    stage = STAGES[target]

    assert stage.last("USER") == "10001:10001"
    for instruction in ("CMD", "ENTRYPOINT"):
        for words in stage.all(instruction):
            assert json.loads(words), words


def test_no_base_is_whatever_is_newest_today():
    images = [stage.parent for stage in STAGES.values() if ":" in stage.parent]

    assert len(images) == 2
    assert all(re.search(r":\d", image) for image in images)


def test_the_service_image_is_what_the_settings_expect():
    stage = STAGES["service"]
    settings = {name.removeprefix("KINDRED_").lower() for name in stage.environment}

    assert settings <= set(Settings.model_fields)
    assert json.loads(stage.last("CMD")) == ["python", "-m", "service"]
    assert stage.last("STOPSIGNAL") == "SIGTERM"
    assert stage.last("EXPOSE") == stage.environment["KINDRED_PORT"]
    assert stage.last("VOLUME") == stage.environment["KINDRED_DATA_DIR"]


def test_no_image_reports_to_anybody_what_it_runs():
    assert STAGES["base"].environment["ORT_DISABLE_TELEMETRY"] == "1"
    assert "base" in made_of("service") & made_of("training")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_follows_the_service(status, code):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/health/live" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    _, _, command = STAGES["service"].last("HEALTHCHECK").partition("CMD ")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    check = subprocess.run(
        [sys.executable, *json.loads(command)[1:]],
        env={**os.environ, "KINDRED_PORT": str(server.server_port)},
        capture_output=True,
    )
    server.shutdown()
    server.server_close()

    assert check.returncode == code, check.stderr


@pytest.mark.parametrize("extra", ["cpu", "gpu"])
def test_a_build_installs_what_pyproject_asks_for(extra):
    (words,) = [w for w in STAGES["build"].all("RUN") if "requirements.txt" in w]
    command = re.search(r'python (-c ".*?") >', words)[1]

    asked = subprocess.run(
        ["sh", "-c", f"{sys.executable} {command}"],
        cwd=ROOT,
        env={**os.environ, "VARIANT": extra},
        capture_output=True,
        text=True,
    )

    extras = PROJECT["optional-dependencies"]
    assert asked.stdout.splitlines() == (
        PROJECT["dependencies"] + extras["service"] + without_ourselves(extras[extra])
    )
