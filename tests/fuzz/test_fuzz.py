"""What `python -m tests.fuzz.…` does at length, done shortly."""

import json
import subprocess
import sys

import pytest

from tests.services import ROOT

pytestmark = pytest.mark.slow


def run(module: str, *options: str) -> dict:
    """Return what a fuzzer says; it must find nothing."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.fuzz.{module}", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_mutated_bundle_is_refused_or_embeds_what_the_original_does():
    told = run("bundles", "--n", "500", "--seed", "3")

    assert told["other"] == 0
    assert told["refused"] > told["harmless"] > 0


def test_a_mutated_request_breaks_nothing_and_costs_little():
    told = run("requests", "--n", "2500", "--seed", "3")

    assert (told["bad"], told["defects"]) == ([], {})
    assert {"200", "400", "404", "422"} <= set(told["statuses"])


def test_after_many_requests_nothing_is_left_behind():
    told = run("soak", "--n", "1200", "--seed", "3")

    assert {"200", "201", "404"} <= set(told["statuses"])
    assert not [status for status in told["statuses"] if status.startswith("5")]


def test_no_parser_raises_anything_but_its_own_refusal():
    told = run("parsers", "--n", "4000", "--seed", "3")

    assert told["bad"] == []
    assert all(count > 0 for count in told["accepted"].values())
