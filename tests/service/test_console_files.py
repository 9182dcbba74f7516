"""The files of the console: small, of this origin only, and others' as they were published."""

import hashlib
import re
from pathlib import Path

import pytest

from service.routes.console import DRAWINGS, FOLDER, MEDIA_TYPES, PAGES, compressed

VENDOR = FOLDER / "vendor"
OURS = sorted(path for path in FOLDER.rglob("*.*") if VENDOR not in path.parents)
OF_THE_REFERENCE = re.compile(r"reference\.js|vendor/swagger-ui-.*\.js")  # the page at /docs
MOST_BYTES = 60_000  # of all scripts of the console, each as it goes out


def name(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def test_all_scripts_of_the_console_are_at_most_60_kb_as_they_go_out():
    scripts = {page for page in PAGES if page.endswith(".js")}

    of_console = {page for page in scripts if not OF_THE_REFERENCE.fullmatch(page)}

    late = {"views/map.js", "views/live.js", "plot.js", "recorder.js"}
    assert {"main.js", "views/enroll.js", "vendor/lit-html-3.3.3.js", *late} <= of_console
    assert len(scripts - of_console) == 2
    assert sum(len(compressed(page) or PAGES[page].content) for page in of_console) <= MOST_BYTES


@pytest.mark.parametrize("path", [p for p in OURS if p.suffix == ".js"], ids=name)
def test_nothing_goes_out_short_of_a_script_but_comments_and_indentation(path):
    kept = iter(PAGES[name(path)].content.decode().splitlines())

    inside = False  # of a comment over several lines
    for line in map(str.strip, path.read_text().splitlines()):
        inside = inside or line.startswith("/*")
        if not inside and not line.startswith("//"):
            code = next(kept)
            comment = line.removeprefix(code)
            assert line.startswith(code)
            assert not comment or re.fullmatch(r" // [^`]*", comment), line
            assert code.count('"') % 2 == 0 or not comment, line  # it is no part of a text
        inside = inside and not line.endswith("*/")
    assert next(kept, None) is None


def test_vendored_files_go_out_as_they_were_published():
    for path in VENDOR.iterdir():
        assert PAGES[name(path)].content == path.read_bytes()


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
