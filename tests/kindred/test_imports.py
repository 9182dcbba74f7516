"""The client brings no server, and help waits for nothing."""

import json
import subprocess
import sys
import tomllib

import pytest

from tests.services import ROOT

COMMANDS = [
    [],
    ["serve"],
    ["verify"],
    ["enroll"],
    ["identify"],
    ["cluster"],
    ["evaluate"],
    ["galleries"],
    ["galleries", "ls"],
    ["galleries", "export"],
    ["comparators", "show"],
    ["doctor"],
    ["demo"],
    ["key", "new"],
]


def loaded(code):
    """Return the top-level modules beside Python's own that some code loads."""
    told = "import json, sys; own = sys.stdlib_module_names; "
    told += "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules} - own)))"
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}\n{told}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_client_loads_httpx_and_nothing_else():
    both = "import kindred; kindred.Client(); kindred.AsyncClient(); kindred.Text"
    theirs = loaded("import httpx, anyio, anyio.to_thread; httpx.Client(); httpx.AsyncClient()")

    assert loaded(both) - theirs == {"kindred"}


def test_installing_the_package_brings_httpx_and_no_server():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    (only,) = project["dependencies"]
    assert only.startswith("httpx")
    for variant in ("cpu", "gpu"):
        assert "kindred[service]" in project["optional-dependencies"][variant]


def test_naming_the_package_loads_nothing():
    assert loaded("import kindred") - loaded("pass") == {"kindred"}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_loads_nothing_but_the_command_line(words):
    code = f"import kindred.cli\ntry: kindred.cli.main({[*words, '--help']!r})\n"
    code += "except SystemExit as end: assert not end.code"

    assert loaded(code) - loaded("pass") == {"kindred"}


def test_a_name_that_is_not_there_is_told():
    import kindred

    with pytest.raises(AttributeError, match="Clientt"):
        kindred.Clientt  # noqa: B018
