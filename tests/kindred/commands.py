"""The command line as a test runs it: in this process, or as one of its own."""

import json
import os
import subprocess
import sys

from kindred.cli import main
from tests.services import ROOT


class Done:
    """What a command printed, and its exit status."""

    def __init__(self, status, out, err):
        self.status = status
        self.out = out
        self.err = err

    @property
    def objects(self):
        """Return the JSON object of each line."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(capsys, *words):
    """Run a command here, and return what it did."""
    try:
        status = main([str(word) for word in words])
    except SystemExit as end:
        status = end.code
    printed = capsys.readouterr()
    return Done(status, printed.out, printed.err)


def start(*words, **environment):
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "kindred", *map(str, words)],
        cwd=ROOT,
        env=dict(os.environ) | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
