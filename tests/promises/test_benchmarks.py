"""Every benchmark runs, and sets each thing beside each of its rivals."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from benchmarks.ratios import Ratio, write
from benchmarks.requests import INSTALL, ROWS
from tests.services import ROOT


def test_a_ratio_is_higher_where_ours_is_better_whatever_the_unit(tmp_path):
    rate = Ratio("a", "b", "pictures/s", [30, 60], [10, 30])
    time = Ratio("a", "b", "ms", [10, 30], [30, 60])

    write([rate, time, Ratio("a", "c", "ms", note="not installed")], tmp_path / "rows.json")

    assert rate.ratios == [3, 2]
    assert time.ratios == [3, 2]
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["ratio"] for row in rows] == [2.5, 2.5, None]
    assert "2.50 (2.00–3.00)" in rate.line()


@pytest.mark.slow
def test_the_benchmark_measures_everything_beside_its_rivals(tmp_path):
    out = tmp_path / "bench.json"

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--short", "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )

    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["rows"]
    rivals = {}
    for row in rows:
        rivals.setdefault(row["what"], set()).add(row["rival"])
        assert all(rate > 0 for rate in row["ours"] + row["theirs"])
        assert len(row["ours"]) == len(row["theirs"])
        there = row["rival"] != "LitServe" or find_spec("litserve")
        assert there or row["note"] == INSTALL
        assert bool(row["ours"]) == bool(there)
    for name, row in ROWS.items():
        others = {"LitServe"} if row.at_once == 1 else set()
        assert rivals[name] == {"bare loop", "naive app"} | others
    assert rivals["fit of ink's network"] == {"bare torch loop"}
    assert {"raw durable writes", "NumPy loop", "pytorch-metric-learning"} <= set().union(
        *rivals.values()
    )
