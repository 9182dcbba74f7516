"""The files of the console: small, of this origin only, and others' as they were published."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from service.routes.console import DRAWINGS, FOLDER, MEDIA_TYPES, PAGES

VENDOR = FOLDER / "vendor"
OURS = sorted(path for path in FOLDER.rglob("*.*") if VENDOR not in path.parents)
IMPORTED = re.compile(r"""^import .*?from "(\S+)";$""", re.M | re.S)
MOST_BYTES = 60_000  # of scripts, each compressed, that the console begins with


def name(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def begun_with(script: Path, seen: set[Path]) -> set[Path]:
    """Return a script and all that it imports; what it fetches later is not among them."""
    if script not in seen:
        seen.add(script)
        for other in IMPORTED.findall(script.read_text()):
            begun_with((script.parent / other).resolve(), seen)
    return seen


def test_the_console_begins_with_at_most_60_kb_of_scripts():
    scripts = begun_with(FOLDER.resolve() / "main.js", set())

    assert {"main.js", "enroll.js", "lit-html-3.3.3.js"} <= {path.name for path in scripts}
    assert "map.js" not in {path.name for path in scripts}
    assert sum(len(gzip.compress(path.read_bytes())) for path in scripts) <= MOST_BYTES


def test_vendored_files_are_those_that_were_published():
    rows = re.findall(
        r"^\| (\S+) \|.*`([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.M
    )

    assert dict(rows) == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.name != "README.md"
    }


@pytest.mark.parametrize("path", OURS, ids=name)
def test_no_file_of_ours_leads_to_another_origin(path):
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")

    assert not re.search(r"""https?:|["'(]//""", text)


@pytest.mark.parametrize("path", OURS, ids=name)
def test_nothing_in_a_page_or_template_needs_a_laxer_policy(path):
    text = path.read_text()

    assert not re.search(r"<script(?![^>]* src=)[^>]*>|<style|\sstyle=|\son\w+=\"", text)
    assert not re.search(r"\b(innerHTML|outerHTML|eval|insertAdjacentHTML|unsafeHTML)\b", text)


@pytest.mark.parametrize("path", [p for p in OURS if p.suffix in (".js", ".html")], ids=name)
def test_what_a_file_asks_for_is_there(path):
    wanted = re.findall(r"""(?:from|src=|href=) ?"([\w./-]+\.(?:js|css|svg))""", path.read_text())

    for target in wanted:
        target = target.removeprefix("console/")  # of the page at /docs, beside /console/
        assert (path.parent / target).is_file(), target


def test_every_file_is_served_under_a_type_of_its_own():
    drawings = {f"drawings/{path.relative_to(DRAWINGS)}" for path in DRAWINGS.rglob("*.*")}
    assert len(drawings) == 61
    assert set(PAGES) == {name(path) for path in FOLDER.rglob("*.*")} | drawings
    assert {Path(page).suffix for page in PAGES} == set(MEDIA_TYPES)
