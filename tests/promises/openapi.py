"""`python -m tests.promises.openapi`: write openapi.yaml from the application."""

from types import SimpleNamespace
from typing import Any

import yaml
from fastapi import FastAPI

from service.app import create_app
from service.edge.access import Door
from tests.services import ROOT

PATH = ROOT / "openapi.yaml"
HEADER = "# Written by `make openapi` from the application, and held to it by a test.\n"


def document() -> dict[str, Any]:
    """Return the application's own description."""
    app: FastAPI = create_app(SimpleNamespace(telemetry=None), Door(), deadline=1)
    return app.openapi()


if __name__ == "__main__":
    PATH.write_text(HEADER + yaml.safe_dump(document(), sort_keys=False, allow_unicode=True))
