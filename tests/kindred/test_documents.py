"""The blocks of docs/client.md do what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kindred.cli import main
from tests.services import ROOT, Service

TEXT = (ROOT / "docs" / "client.md").read_text()
README = (ROOT / "README.md").read_text()
ANYWHERE = "/tmp/"  # noqa: S108 - what the documents call the test's own folder
BLOCKS = re.findall(r"^```(python|sh)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_every_block_runs_as_it_stands(tmp_path):
    python = "".join(block for kind, block in BLOCKS if kind == "python")
    shell = "".join(block for kind, block in BLOCKS if kind == "sh")
    shell += next(line for line in README.splitlines() if line.startswith("kindred enroll "))
    (readme,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    commands = tmp_path / "kindred"
    commands.write_text(f'#!/bin/sh\nexec {sys.executable} -m kindred "$@"\n')
    commands.chmod(0o755)
    service = Service(tmp_path / "var", ROOT / "models_store" / "bundles").start().wait_ready()
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = dict(os.environ) | {
        "KINDRED_URL": service.url,
        "PATH": path,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONWARNINGS": "default",
    }
    try:
        for words in (
            [sys.executable, "-c", python.replace(ANYWHERE, f"{tmp_path}/")],
            ["bash", "-euo", "pipefail", "-c", shell.replace(ANYWHERE, f"{tmp_path}/")],
            [sys.executable, "-c", readme.replace("http://127.0.0.1:8000", service.url)],
        ):
            done = subprocess.run(
                words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        service.stop()


def test_every_command_stands_in_the_table(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^    (\w+) +\w", capsys.readouterr().out, re.MULTILINE))
    commands |= {"comparators"}  # which is too long for its line

    told = set(re.findall(r"^\| `(\w+)", TEXT, re.MULTILINE))

    assert commands == told
