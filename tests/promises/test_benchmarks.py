"""The benchmark of requests runs, and pairs each call with both of its rivals."""

import json
import subprocess
import sys

import pytest

from benchmarks.requests import ROWS
from tests.services import ROOT


@pytest.mark.slow
def test_the_request_benchmark_measures_every_call_beside_its_rivals(tmp_path):
    out = tmp_path / "requests.json"
    command = [sys.executable, "-m", "benchmarks.requests", "--rounds", "1", "--seconds", "0.3"]

    done = subprocess.run(
        [*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stderr
    assert all(f"| {name} |" in done.stdout for name in ROWS)
    paces = json.loads(out.read_text())
    for name in ROWS:
        assert paces[name].keys() == {"ours", "naive", "bare"}
        assert all(pace["rate"] > 0 and pace["ms"] > 0 for [pace] in paces[name].values())
