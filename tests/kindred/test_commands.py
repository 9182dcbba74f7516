"""The command line, on a real service."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kindred import Client
from kindred.cli import main
from service.settings import Settings
from tests.drawings import draw
from tests.kindred.commands import run, start
from tests.kindred.test_imports import COMMANDS
from tests.servers import free_port
from tests.services import ROOT


@pytest.fixture(scope="module")
def service(running_service):
    with Client(running_service.url) as client:
        client.create_gallery("commands")
        client.enroll("one", [draw(1), draw(1, 1)], gallery="commands")
        client.enroll("two", [draw(2), draw(2, 1)], gallery="commands")
    return running_service


@pytest.fixture
def kindred(service, capsys, monkeypatch):
    """Run a command on the service."""
    monkeypatch.setenv("KINDRED_URL", service.url)
    return lambda *words: run(capsys, *words)


@pytest.fixture
def files(tmp_path):
    """A folder of two drawings of each of three, and something that is none."""
    for character in (1, 2, 9):
        for take in (1, 2):
            (tmp_path / f"{character}-{take}.png").write_bytes(draw(character, take))
    return tmp_path


def test_verify_says_the_same_or_different_by_its_status(kindred, files):
    same = kindred("verify", files / "1-1.png", files / "1-2.png", "--target-fmr", "0.1")
    other = kindred("verify", files / "1-1.png", files / "2-1.png", "--target-fmr", "0.1")
    error = kindred("verify", files / "1-1.png", files / "nothing.png")

    assert [same.status, other.status, error.status] == [0, 1, 2]
    assert same.out.startswith("same ")
    assert other.out.startswith("different ")
    assert error.out == ""
    assert "nothing.png: No such file" in error.err


def test_identify_says_whether_all_are_known_by_its_status(kindred, files):
    known, stranger = files / "1-1.png", files / "9-1.png"
    (files / "bad.png").write_bytes(b"nonsense")
    ask = ("identify", "--gallery", "commands", "--target-fpir", "0.05")

    match = kindred(*ask, known, files / "2-1.png")
    unknown = kindred(*ask, known, stranger)
    broken = kindred(*ask, known, files / "bad.png", stranger)
    alone = kindred(*ask, files / "bad.png")

    assert [match.status, unknown.status, broken.status, alone.status] == [0, 1, 2, 2]
    assert re.search(r"1-1\.png: match  one  score", match.out)
    assert re.search(r"9-1\.png: (unknown|possible)  \(nearest is", unknown.out)
    assert re.search(r"  (below threshold|likelier than unknown)\n", unknown.out)
    assert len(broken.out.splitlines()) == 2
    assert "bad.png: undecodable-input: " in broken.err
    assert "bad.png: undecodable-input: " in alone.err


def test_identify_takes_a_folder_and_what_is_piped_in(kindred, files, service):
    folder = kindred("identify", "--gallery", "commands", "--json", files)
    piped = subprocess.run(
        [sys.executable, "-m", "kindred", "identify", "-", "--gallery", "commands", "--json"],
        cwd=ROOT,
        input=draw(1, 1),
        capture_output=True,
        timeout=60,
    )

    assert [line["file"] for line in folder.objects] == [str(p) for p in sorted(files.iterdir())]
    assert piped.returncode == 0
    assert b'"identity": "one"' in piped.stdout


def test_more_files_than_fit_a_request_are_identified_all_the_same(kindred, tmp_path):
    for i in range(70):
        (tmp_path / f"{i:02}.png").write_bytes(draw(1 + i % 2, i))

    done = kindred("identify", "--gallery", "commands", "--json", "--threshold", "0.1", tmp_path)

    assert [line["identity"] for line in done.objects] == ["one", "two"] * 35


def test_cluster_says_which_files_belong_together(kindred, files):
    (files / "bad.png").write_bytes(b"nonsense")

    done = kindred("cluster", "--json", files)

    clusters = {tuple(sorted(name[-7:] for name in one["members"])) for one in done.objects[1:]}
    assert {("1-1.png", "1-2.png"), ("2-1.png", "2-2.png")} <= clusters
    assert done.objects[0]["problem"]["status"] == 422
    assert done.status == 2
    assert kindred("cluster", "--gallery", "commands").status == 0
    assert kindred("cluster").status == kindred("cluster", files / "none").status == 2


def test_galleries_are_made_listed_shown_carried_and_deleted(kindred, tmp_path):
    file = tmp_path / "all.ndjson"

    made = kindred("galleries", "create", "made-here", "--target-fpir", "0.1", "--json")
    listed = kindred("galleries", "ls", "--json")
    shown = kindred("galleries", "show", "commands", "--json")
    out = kindred("galleries", "export", "commands", file)
    into = kindred("galleries", "import", file, "carried")
    twice = kindred("galleries", "import", file, "carried")
    gone = kindred("galleries", "rm", "carried", "made-here")
    again = kindred("galleries", "rm", "carried")

    assert made.objects[0]["target_fpir"] == 0.1
    assert {"default", "commands", "made-here"} <= {one["name"] for one in listed.objects}
    assert (shown.objects[0]["identities"], shown.objects[0]["samples"]) == (2, 4)
    assert [one.status for one in (out, into, gone, again)] == [0, 0, 0, 2]
    assert into.out == "carried: 4 samples of 2 identities\n"
    assert (twice.status, "already-exists (409): " in twice.err) == (2, True)
    assert "not-found" in again.err


def test_an_answer_that_names_nobody_says_why(kindred, running_service, files):
    kindred("galleries", "create", "reasons")
    ask = ("identify", files / "1-1.png", "--gallery", "reasons")
    empty = kindred(*ask)
    with Client(running_service.url) as client:
        client.enroll("one", files / "1-2.png", gallery="reasons")
        told = client.identify(files / "1-1.png", gallery="reasons")
        client.give_feedback(told.decisions[0], "reject", identity="one")
    rejected = kindred(*ask)
    kindred("galleries", "rm", "reasons")

    assert empty.out.endswith(": unknown  empty gallery\n")
    assert rejected.out.endswith("  rejected before\n")
    assert (empty.status, rejected.status) == (1, 1)


def test_comparators_are_listed_and_shown(kindred):
    table = kindred("comparators", "ls")
    shown = kindred("comparators", "show", "tiny", "--json")

    assert table.out.splitlines()[0].split() == [
        "comparator",
        "compares",
        "dimension",
        "runs",
        "on",
    ]
    assert any(line.startswith("tiny@1 ") for line in table.out.splitlines())
    assert shown.objects[0]["dimension"] == 32
    points = shown.objects[0]["operating_points"]
    lines = kindred("comparators", "show", "tiny").out.splitlines()
    assert sum('{"fmr": ' in line for line in lines) == len(points) > 1
    assert kindred("comparators", "show", "none").status == 2


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "a"],
        ["verify", "a", "b", "--target-fmr", "much"],
        ["nonsense"],
        ["enroll", "nowhere"],
        ["galleries", "show", "nowhere"],
        ["galleries", "show", "a/../b"],
        ["galleries", "import", "nowhere", "x"],
        ["galleries", "export", "nowhere", "/dev/null/x"],
        ["identify", "nowhere.png"],
        ["galleries", "ls", "--url", "nonsense"],
        ["comparators"],
        [],
    ],
    ids=" ".join,
)
def test_nonsense_is_an_error_in_one_breath(kindred, words):
    done = kindred(*words)

    assert done.status == 2
    assert done.out == ""
    assert "Traceback" not in done.err
    assert done.err


def test_a_service_that_is_away_is_an_error_that_says_what_to_do(capsys, monkeypatch, files):
    monkeypatch.setattr("kindred.commands.terminal.QUICK", 0)
    url = f"http://127.0.0.1:{free_port()}"

    for words in (["galleries", "ls"], ["identify", files / "1-1.png"], ["enroll", files]):
        done = run(capsys, *words, "--url", url, *(["--identity", "x"] * (words[0] == "enroll")))
        assert (done.status, done.out) == (2, "")
        assert url in done.err
        assert "make serve" in done.err


def test_who_reads_no_further_is_no_error_to_shout_about(service, files):
    for words in (["identify", files, "--gallery", "commands", "--json"], ["galleries", "ls"]):
        done = start(*words, KINDRED_URL=service.url)
        done.stdout.close()
        with done:
            assert done.stderr.read() == ""


def test_colours_are_for_terminals_that_like_them(monkeypatch):
    from kindred.commands.terminal import coloured

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert coloured("match", "green") == "match"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert coloured("match", "green") == "\x1b[32mmatch\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert coloured("match", "green") == "match"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_names_the_environment(capsys, words):
    done = run(capsys, *words, "--help")

    assert done.status == 0
    named = set(re.findall(r"KINDRED_(\w+)", done.out))
    known = {name.upper() for name in Settings.model_fields} | {"URL", "API_KEY", "DEBUG"}
    assert named <= known
    assert named or words == ["key", "new"]
    assert words in (["serve"], ["key", "new"]) or "NO_COLOR" in done.out


def test_the_version_is_that_of_the_package(capsys):
    from importlib.metadata import version

    assert run(capsys, "--version").out == f"kindred {version('kindred')}\n"


def test_an_interruption_has_a_status_of_its_own(monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kindred.commands.galleries.ls", interrupt)

    assert main(["galleries", "ls"]) == 130


def test_a_defect_is_an_error_in_one_line_that_says_that_it_is_one(monkeypatch, capsys):
    def break_(_):
        raise ZeroDivisionError("by\nnothing")

    monkeypatch.setattr("kindred.commands.galleries.ls", break_)

    done = run(capsys, "galleries", "ls")

    assert (done.status, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert "a defect of this program (ZeroDivisionError: by)" in line
    monkeypatch.setenv("KINDRED_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["galleries", "ls"])


@pytest.mark.parametrize("name", ["good.png", "unknown.png", "missing.png"])
def test_without_stderr_the_status_is_the_same(service, files, name):
    (files / "1-1.png").rename(files / "good.png")
    (files / "9-1.png").rename(files / "unknown.png")
    ask = ["identify", str(files / name), "--gallery", "commands", "--target-fpir", "0.05"]

    usual, closed = (in_shell(service, ask, redirection) for redirection in ("", "2>&-"))

    expected = {"good.png": 0, "unknown.png": 1, "missing.png": 2}
    assert usual.returncode == closed.returncode == expected[name]
    assert usual.stdout == closed.stdout


@pytest.mark.parametrize("words", [["galleries", "ls"], ["--version"]], ids=" ".join)
def test_without_stdout_it_is_an_error_in_one_line(service, words):
    done = in_shell(service, words, ">&-")

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert b"Traceback" not in done.stderr


def in_shell(service, words, redirection):
    """Run a command with its output sent elsewhere."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "kindred", *words],
        cwd=ROOT,
        env=dict(os.environ) | {"KINDRED_URL": service.url},
        capture_output=True,
        timeout=60,
    )


def test_a_folder_without_files_is_an_error(kindred, tmp_path, files):
    empty = tmp_path / "empty"
    empty.mkdir()

    alone = kindred("identify", empty, "--gallery", "commands")
    beside = kindred("identify", files / "1-1.png", empty, "--gallery", "commands")

    assert [alone.status, beside.status] == [2, 2]
    assert alone.out == ""
    assert "empty: no files in it" in alone.err
    assert "1-1.png: " in beside.out


@pytest.mark.parametrize("where", [0, 1])
def test_files_are_answered_beside_one_that_is_not_there(kindred, files, where):
    words = [files / "1-1.png", files / "2-1.png"]
    words.insert(where, files / "missing.png")

    done = kindred("identify", "--gallery", "commands", *words)

    assert done.status == 2
    assert [line.split(": ")[0][-7:] for line in done.out.splitlines()] == ["1-1.png", "2-1.png"]
    assert "missing.png: No such file or directory" in done.err


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_a_line_of_json_is_utf8_whatever_the_name_of_the_file(service, tmp_path, locale):
    given = {b"\xff.png", "α.png".encode()}
    for name in given:
        (tmp_path / os.fsdecode(name)).write_bytes(draw(1))
    ask = ["identify", tmp_path, "--gallery", "commands"]
    environment = {"KINDRED_URL": service.url, "LC_ALL": locale, "PYTHONUTF8": "0"}

    in_json, in_words = (
        subprocess.run(
            [sys.executable, "-m", "kindred", *ask, *more],
            cwd=ROOT,
            env=dict(os.environ) | environment,
            capture_output=True,
            timeout=60,
        )
        for more in (["--json"], [])
    )

    names = [json.loads(line.decode("utf-8"))["file"] for line in in_json.stdout.splitlines()]
    assert {Path(name).name.encode("utf-8", "surrogateescape") for name in names} == given
    assert len(in_words.stdout.decode("utf-8").splitlines()) == 2
    assert in_json.returncode == in_words.returncode < 2


@pytest.mark.parametrize(
    "words",
    [
        ["--url", "http://"],
        ["--url", "http://[::1"],
        ["--url", "http://127.0.0.1:99999"],
        ["--key", "schlüssel"],
        ["--key", "two\nlines"],
    ],
    ids=repr,
)
def test_an_address_or_key_that_cannot_be_used_is_told_and_not_tried(kindred, words):
    done = kindred("galleries", "ls", *words)

    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("kindred: expected a")
