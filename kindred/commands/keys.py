"""`kindred key new`: shown once, and kept as its digest only."""

import hashlib
import re
import secrets
import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kindred.cli import SAME, Misused

ROLES = ("decide", "read", "enroll", "administer")
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
SCOPE = re.compile(r"[A-Za-z0-9._~-]{1,128}|[A-Za-z0-9._~-]{0,127}\*")


class Unusable(Misused):
    """No key can be made of what was asked for; the message says why."""


def make(asked: Namespace) -> int:
    """Make a key: it is printed once, and the service's file has its digest only."""
    if asked.days is not None and asked.days < 1:
        raise Unusable("--days: expected one at least")
    scopes = [scope.strip() for scope in asked.galleries.split(",") if scope.strip()]
    show(*new(asked.name, asked.role, scopes, asked.days), asked.into)
    return SAME


def new(
    name: str, role: str, galleries: Sequence[str], days: int | None = None
) -> tuple[str, str]:
    """Return a key of 256 random bits, and the lines that the service's file has of it.

    Raises Unusable if the service would not read them.
    """
    if not NAME.fullmatch(name):
        raise Unusable("--name: expected 1 to 64 letters, digits or ._-")
    if role not in ROLES:
        raise Unusable(f"--role: expected one of {', '.join(ROLES)}")
    if not galleries or not all(SCOPE.fullmatch(scope) for scope in galleries):
        raise Unusable("--galleries: expected names of galleries, or beginnings of names with a *")
    key = f"kindred_{secrets.token_urlsafe(32)}"
    lines = [
        "[[key]]",
        f'name = "{name}"',
        f'sha256 = "{hashlib.sha256(key.encode()).hexdigest()}"',
        f'role = "{role}"',
        "galleries = [" + ", ".join(f'"{scope}"' for scope in galleries) + "]",
    ]
    if days is not None:
        lines.append(f"expires = {(datetime.now(UTC) + timedelta(days=days)).date()}")
    return key, "\n".join(lines) + "\n"


def show(key: str, lines: str, into: Path | None) -> None:
    """Print a key, and its lines; or append these to a file, and print the key alone."""
    if into is None:
        sys.stderr.write(
            f"The key, which is shown this once:\n\n{key}\n\nFor KINDRED_KEYS_FILE:\n\n"
        )
        sys.stdout.write(lines)
        return
    before = into.read_text("utf-8") if into.exists() else ""
    with into.open("a", encoding="utf-8") as file:
        file.write(("\n" if before else "") + lines)
    sys.stdout.write(f"{key}\n")
