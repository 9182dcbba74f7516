import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.services import ROOT

MEMORY = 500 * 2**20

TELLS = """
import os, sys
from resource import RLIMIT_AS, RLIMIT_CORE, getrlimit
print(os.nice(0), *getrlimit(RLIMIT_AS), *getrlimit(RLIMIT_CORE))
print(__name__, *sys.argv[1:])
"""
TAKES = "bytes(600 * 2**20)"
SLEEPS = "import time; print('here', flush=True); time.sleep(60)"
STARTS = """
import os, subprocess, sys
words = ["-m", "service.children.confined", str(os.getpid()), "500000000", "told"]
child = subprocess.Popen([sys.executable, *words])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def run(tmp_path):
    def start(program, parent=None):
        (tmp_path / "told.py").write_text(program)
        bounds = (str(parent or os.getpid()), str(MEMORY))
        return subprocess.Popen(
            [sys.executable, "-m", "service.children.confined", *bounds, "told", "one", "two"],
            env={"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_a_module_runs_politely_within_its_bounds_as_if_it_were_alone(run):
    out, err = run(TELLS).communicate()

    limits, name = out.splitlines()
    assert limits == f"{os.nice(0) + 3} {MEMORY} {MEMORY} 0 0", err
    assert name == "__main__ one two"


def test_more_memory_than_it_may_have_is_an_error_of_its_own(run):
    process = run(TAKES)
    _, err = process.communicate()

    assert process.returncode == 1
    assert err.rstrip().endswith("MemoryError")


def test_it_does_not_begin_when_its_parent_is_gone_already(run):
    process = run(TELLS, parent=2**22)

    assert process.communicate()[0] == ""
    assert process.returncode == 1


def test_it_ends_when_its_parent_is_killed(tmp_path):
    (tmp_path / "told.py").write_text(SLEEPS)
    environment = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-c", STARTS]
    parent = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert parent.stdout.readline() == "here\n"

    parent.kill()
    parent.wait()

    until = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < until
        time.sleep(0.01)
    parent.stdout.close()


def _runs(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
