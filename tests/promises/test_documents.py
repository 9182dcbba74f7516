"""What the documents say holds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from openapi_spec_validator import validate

import models_store
from service.edge.problems import DOCUMENT, PROBLEMS, slugs
from service.store import identities
from tests.promises.openapi import PATH, document
from tests.promises.settings import README, split_readme, table
from tests.services import ROOT, Service

PACKAGES = ("service", "models_store", "index", "kindred")
MAKE = ["make", "-o", f"{sys.prefix}/ready", f"SERVE={sys.prefix}"]  # it was installed already
AS_TOLD = {
    "serve": "/bin/python -m service",
    "demo": "/bin/python -m kindred demo",
    "test WORKERS=2": '/bin/pytest -q -n 2 --dist loadfile -m "not slow"',
    "train RECIPE=ink.toml DATA=letters": "/bin/python -m training fit ink.toml --data letters",
}
"""What README.md says that make does, and the command that does it."""


def test_openapi_yaml_is_the_applications_own_description():
    assert yaml.safe_load(PATH.read_text()) == document(), "run `make openapi`"


def test_openapi_yaml_is_valid_openapi():
    validate(document())


def test_every_operation_has_a_name_and_declares_problems():
    operations = [op for path in document()["paths"].values() for op in path.values()]

    assert len({op["operationId"] for op in operations}) == len(operations)
    for operation in operations:
        assert operation["responses"]["4XX"] == {"$ref": "#/components/responses/Problem"}
    assert "HTTPValidationError" not in document()["components"]["schemas"]


def test_file_parts_are_described_so_that_a_form_offers_a_file_input():
    body = document()["paths"]["/enroll"]["post"]["requestBody"]["content"]

    files = body["multipart/form-data"]["schema"]["properties"]["files"]

    assert files == {"type": "array", "items": {"type": "string", "format": "binary"}}


def test_the_settings_table_is_that_of_the_settings():
    _, inside, _ = split_readme()

    assert inside == table(), "run `python -m tests.promises.settings`"


def test_every_problem_has_a_heading_with_its_status():
    text = (ROOT / DOCUMENT.lstrip("/")).read_text()
    headings = dict(re.findall(r"^## (\S+)\n\n(\d{3})\.", text, re.MULTILINE))

    assert set(headings) == set(slugs())
    assert {
        kind.slug: f"{kind.status:d}" for kind in PROBLEMS.values()
    }.items() <= headings.items()


def test_every_error_that_a_request_can_meet_is_a_row_of_the_problem_table():
    told_at_start, followed_by_reading_all = "BundleRefused", "OutOfStep"
    errors = {
        name
        for module in (models_store, identities)
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Exception)
        and not any(cls in PROBLEMS for cls in value.__mro__)
    }

    assert errors <= {told_at_start, followed_by_reading_all}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_starts_with_its_caption(package):
    for path in (ROOT / package).rglob("*.py"):
        assert path.read_text().startswith('"""'), path


def test_the_map_names_every_file_of_the_serving_rooms():
    text = (ROOT / "ARCHITECTURE.md").read_text()

    for package in ("service", "models_store", "index"):
        for path in (ROOT / package).glob("*.py"):
            if path.name != "__init__.py":
                assert path.name in text, path


def test_links_in_the_documents_lead_somewhere():
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_readmes_calls_all_succeed_as_they_stand(tmp_path):
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    calls = [line for block in blocks for line in block.splitlines() if "curl" in line]
    assert len(calls) > 12
    service = Service(tmp_path / "var", ROOT / "models_store" / "bundles").start().wait_ready()
    try:
        for call in calls:
            command = call.replace("http://127.0.0.1:8000", service.url).replace(
                "curl -s", "curl -sS --fail-with-body"
            )
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{call}\n{done.stdout}\n{done.stderr}"
    finally:
        service.stop()


def make(*words, **more):
    # A make that runs the tests is another.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment = outside | more
    return subprocess.run(
        [*MAKE, *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def test_make_knows_every_target_that_a_document_names():
    named = {
        target
        for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
        for target in re.findall(r"(?:^|`)make ([a-z]+)", path.read_text(), re.MULTILINE)
    }

    unknown = {target for target in named if not make("-n", "-s", target).stdout}

    assert named > {words.split()[0] for words in AS_TOLD}
    assert unknown == set()


@pytest.mark.parametrize("words", AS_TOLD)
def test_make_does_what_the_readme_says(words):
    done = make("-n", *words.split())

    assert done.stdout.rstrip().endswith(AS_TOLD[words]), done.stdout + done.stderr


@pytest.mark.slow
def test_the_demo_that_make_runs_finds_the_service_that_make_serves(tmp_path):
    service = Service(tmp_path / "var", ROOT / "models_store" / "bundles")
    service.command = [*MAKE, "serve"]
    service.start().wait_ready()
    try:
        done = make("demo", KINDRED_URL=service.url)
    finally:
        service.stop()

    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("MATCH", "UNKNOWN", "SAME", "DIFFERENT", "clusters"):
        assert said in done.stdout


def test_nothing_names_a_folder_of_the_machine_it_was_written_on():
    here = str(Path.home())
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".yml", ".yaml", ".json"} and path.is_file():
            text = path.read_text()
            assert str(ROOT) not in text, name
            assert here == "/" or here not in text, name
