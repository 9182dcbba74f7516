"""`python -m tests.promises.settings`: write the settings table of README.md."""

from pathlib import Path

from pydantic import SecretStr

from service.settings import Settings
from tests.services import ROOT

README = ROOT / "README.md"
START, END = "<!-- settings -->\n", "<!-- /settings -->"


def table() -> str:
    """Return a line for each setting: name, default, what it is."""
    lines = ["| setting | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `{name.upper()}` | {_shown(field.default)} | {field.description} |")
    return "\n".join(lines) + "\n"


def split_readme() -> tuple[str, str, str]:
    """Return what stands before, in and after the table."""
    before, rest = README.read_text().split(START)
    inside, after = rest.split(END)
    return before, inside, after


def _shown(default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None or default == "":
        return "–"
    if isinstance(default, bool):
        default = str(default).lower()
    return f"`{default}`" if not isinstance(default, Path) else f"`{default.as_posix()}`"


if __name__ == "__main__":
    before, _, after = split_readme()
    README.write_text(before + START + table() + END + after)
