"""The service asks nobody but its store: no address that a client sends could be fetched."""

import ast

from tests.services import ROOT

CLIENTS = ("httpx", "requests", "aiohttp", "urllib3", "urllib.request", "http.client", "ftplib")
ROOMS = ("service", "models_store", "index", "evaluation")


def imported(source):
    """Return the modules, and what could be one, that a source imports wherever it does."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_what_serves_imports_no_client_of_the_web():
    """X12."""
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]

    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in paths
        for name in imported(path.read_text())
        if any(name == client or name.startswith(f"{client}.") for client in CLIENTS)
    }

    assert len(paths) > 100
    assert found == set()
