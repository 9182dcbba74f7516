"""`kindred evaluate` on a running service."""

import json
import os
import re
import subprocess
import sys
import zipfile

import pytest

from tests.drawings import draw
from tests.services import ROOT, Service
from tests.two_sided_bundles import make_two_sided_bundle, name_of


@pytest.fixture
def two_sided_service(tmp_path):
    make_two_sided_bundle(tmp_path / "bundles")
    service = Service(tmp_path / "var", tmp_path / "bundles", default_comparator="signs")
    yield service.start().wait_ready()
    service.stop()


@pytest.fixture
def folder(tmp_path):
    """A folder of 12 folders with 4 drawings each, and a note."""
    folder = tmp_path / "drawings"
    for character in range(12):
        (folder / f"c{character}").mkdir(parents=True)
        for take in range(1, 5):
            (folder / f"c{character}" / f"{take}.png").write_bytes(draw(character, take))
    (folder / "README").write_text("mine")
    return folder


def kindred(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "kindred", "evaluate", *map(str, words)],
        cwd=ROOT,
        env=dict(os.environ) | {"COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.mark.slow
def test_a_folder_of_folders_is_measured_and_the_figures_are_shown(
    running_service, folder, tmp_path
):
    page = tmp_path / "report.html"

    done = kindred(folder, "--url", running_service.url, "--html", page)

    assert done.returncode == 0, done.stderr
    assert "tiny@1 on 48 samples of 12 identities" in done.stdout
    assert re.search(r"^area under the ROC of pairs +[01]\.\d{3}  ", done.stdout, re.MULTILINE)
    assert page.read_text().lower().startswith("<!doctype html>")


@pytest.mark.slow
def test_a_zip_says_the_same_as_its_folder(running_service, folder, tmp_path):
    packed = tmp_path / "drawings.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path))

    told = []
    for source in (folder, packed):
        done = kindred(source, "--json", KINDRED_URL=running_service.url)
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout))

    assert told[0]["report"] == told[1]["report"]
    assert (told[0]["samples"], told[0]["identities"]) == (48, 12)
    assert "html" not in told[0]


def test_a_refusal_is_told_in_the_services_words(running_service, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "1.png").write_bytes(draw(1))

    empty = kindred(tmp_path / "empty", "--url", running_service.url)
    flat = kindred(tmp_path / "flat", "--url", running_service.url)
    away = kindred(tmp_path / "flat", "--url", "http://127.0.0.1:9")

    assert [done.returncode for done in (empty, flat, away)] == [2, 2, 2]
    assert "expected a folder of folders" in empty.stderr
    assert "invalid-parameter" in flat.stderr
    assert "folders" in flat.stderr
    assert "make serve" in away.stderr


@pytest.mark.slow
def test_a_folder_of_each_side_is_measured_across_them(two_sided_service, tmp_path):
    folder = tmp_path / "signs"
    for sign in range(12):
        for side, name, content in (
            ("a", "name.txt", name_of(sign).encode()),
            ("b", "0.png", draw(sign, 0)),
            ("b", "1.png", draw(sign, 1)),
        ):
            own = folder / side / f"id-{sign}"
            own.mkdir(parents=True, exist_ok=True)
            (own / name).write_bytes(content)

    done = kindred(folder, "--url", two_sided_service.url, "--comparator", "signs")

    assert done.returncode == 0, done.stderr
    assert "signs@1 on 36 samples of 12 identities" in done.stdout
    assert re.search(
        r"^found in the first 1, asked by side a.* 1\.000 ", done.stdout, re.MULTILINE
    )
    assert re.search(r"^found in the first 1, asked by side b", done.stdout, re.MULTILINE)
    assert "no one shot: recall at 1 is the one-shot of all identities at once" in done.stdout
