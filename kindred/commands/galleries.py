"""`kindred galleries`: look at them, make them, carry them elsewhere, delete them."""

from argparse import Namespace

from kindred.cli import SAME
from kindred.commands.terminal import (
    client_of,
    progress,
    say,
    say_fields,
    say_json,
    say_table,
)


def ls(asked: Namespace) -> int:
    """List every gallery that the key reaches."""
    with client_of(asked) as client:
        found = client.list_galleries().galleries
    if asked.json:
        for gallery in found:
            say_json(gallery)
    else:
        say_table(
            ("gallery", "comparator", "identities", "samples", "version"),
            [(g.name, g.comparator, g.identities, g.samples, g.version) for g in found],
        )
    return SAME


def show(asked: Namespace) -> int:
    """Describe one gallery."""
    with client_of(asked) as client:
        found = client.get_gallery(asked.gallery)
    (say_json if asked.json else say_fields)(found)
    return SAME


def create(asked: Namespace) -> int:
    """Make an empty gallery."""
    with client_of(asked) as client:
        made = client.create_gallery(
            asked.gallery,
            comparator=asked.comparator,
            target_fpir=asked.target_fpir,
            keep_samples=asked.keep_samples,
        )
    (say_json if asked.json else say_fields)(made)
    return SAME


def export(asked: Namespace) -> int:
    """Write all that is kept of a gallery to a file, which is there once it is whole."""
    name = f"export {asked.gallery}"
    with client_of(asked) as client, progress(name, unit="bytes") as advance:
        client.export_gallery(asked.gallery, asked.target, on_bytes=advance)
    size = asked.target.stat().st_size
    if asked.json:
        say_json({"gallery": asked.gallery, "file": str(asked.target), "bytes": size})
    else:
        say(f"{asked.gallery}: {size} bytes in {asked.target}")
    return SAME


def import_(asked: Namespace) -> int:
    """Make a gallery of an exported file, whole or not at all."""
    size = asked.source.stat().st_size
    name = f"import {asked.gallery}"
    with client_of(asked) as client, progress(name, size, unit="bytes") as advance:
        made = client.import_gallery(asked.source, asked.gallery, on_bytes=advance)
    if asked.json:
        say_json(made)
    else:
        say(f"{made.name}: {made.samples} samples of {made.identities} identities")
    return SAME


def remove(asked: Namespace) -> int:
    """Delete galleries and everything in them."""
    with client_of(asked) as client:
        for gallery in asked.galleries:
            deleted = client.delete_gallery(gallery)
            if asked.json:
                say_json(deleted)
            else:
                say(f"{deleted.gallery}: deleted")
    return SAME
