"""Where the real drawings lie, if they do."""

import os
from pathlib import Path

import pytest


def omniglot() -> Path:
    """Return the folder of Omniglot's background set, or skip the test that asks."""
    root = Path(os.environ.get("KINDRED_SHARED_DATA", "../shared/data")) / "omniglot"
    if not (root / "images_background.zip").exists():
        pytest.skip(f"no Omniglot at {root}; KINDRED_SHARED_DATA names another place")
    return root
