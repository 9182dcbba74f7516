"""`kindred serve`: the service, in place of this process."""

import importlib.util
import os
import sys
from argparse import Namespace

from kindred.cli import ERROR


def serve(_: Namespace) -> int:
    """Become the service, if it is installed here."""
    if importlib.util.find_spec("fastapi") and importlib.util.find_spec("service"):
        os.execv(sys.executable, [sys.executable, "-m", "service"])  # noqa: S606 - ourselves
    sys.stderr.write(
        "kindred: this is the client alone; `make serve` in a checkout installs and starts "
        "the service, as `pip install -e '.[cpu]'` does there\n"
    )
    return ERROR
