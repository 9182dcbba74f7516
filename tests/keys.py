"""Files of keys for tests: what is presented is the name, and KEY after it."""

import hashlib
from pathlib import Path


def secret(name: str) -> str:
    """Return the key of a name."""
    return f"{name}-KEY"


def bearing(name: str) -> dict[str, str]:
    """Return the header that presents the key of a name."""
    return {"Authorization": f"Bearer {secret(name)}"}


def entry(name: str, role: str, *galleries: str, **more: object) -> str:
    """Return the lines of one key."""
    digest = hashlib.sha256(secret(name).encode()).hexdigest()
    scopes = ", ".join(f'"{scope}"' for scope in galleries or ("*",))
    lines = ["[[key]]", f'name = "{name}"', f'sha256 = "{digest}"', f'role = "{role}"']
    lines += [f"galleries = [{scopes}]", *(f"{field} = {value}" for field, value in more.items())]
    return "\n".join(lines) + "\n\n"


def write(path: Path, *entries: str) -> Path:
    """Put a file of keys in place, at once and whole."""
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(entries))
    return fresh.replace(path)
