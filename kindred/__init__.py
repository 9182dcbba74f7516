"""What people and programs use of a Kindred service; it imports none of the other rooms."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kindred.async_client import AsyncClient
    from kindred.client import Client
    from kindred.problems import KindredError, Problem, UnexpectedAnswer, Unreachable
    from kindred.samples import Text

__all__ = [
    "AsyncClient",
    "Client",
    "KindredError",
    "Problem",
    "Text",
    "UnexpectedAnswer",
    "Unreachable",
]

_HOMES = {
    "AsyncClient": "kindred.async_client",
    "Client": "kindred.client",
    "KindredError": "kindred.problems",
    "Problem": "kindred.problems",
    "Text": "kindred.samples",
    "UnexpectedAnswer": "kindred.problems",
    "Unreachable": "kindred.problems",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for, so that a command need not wait for httpx."""
    if name == "__version__":
        return import_module("importlib.metadata").version("kindred")
    if name not in _HOMES:
        raise AttributeError(f"module 'kindred' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
