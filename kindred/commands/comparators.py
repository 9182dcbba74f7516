"""`kindred comparators`: what compares, and how well."""

from argparse import Namespace
from collections.abc import Mapping

from kindred.cli import SAME
from kindred.commands.terminal import (
    client_of,
    say_fields,
    say_json,
    say_table,
    warn,
)
from kindred.reading import write


def ls(asked: Namespace) -> int:
    """List the comparators in service; those that were refused go to stderr."""
    with client_of(asked) as client:
        found = client.list_comparators()
    for bundle, reason in found.refused.items():
        warn(f"kindred: {bundle} is not served: {reason}")
    if asked.json:
        for comparator in found.comparators:
            say_json(comparator)
    else:
        say_table(
            ("comparator", "compares", "dimension", "runs on"),
            [
                (f"{c.name}@{c.version}", _kinds(c.modalities), c.dimension, c.provider)
                for c in found.comparators
            ],
        )
    return SAME


def show(asked: Namespace) -> int:
    """Describe one comparator."""
    with client_of(asked) as client:
        found = client.get_comparator(asked.comparator)
    if asked.json:
        say_json(found)
    else:
        fields = write(found)
        del fields["card"]  # pages of anybody's text
        say_fields(fields)
    return SAME


def _kinds(modalities: Mapping[str, str]) -> str:
    a, b = modalities["a"], modalities["b"]
    return a if a == b else f"{a} and {b}"
