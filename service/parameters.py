"""A parameter that breaks a rule, wherever that is noticed."""

import re
from dataclasses import dataclass

_OURS = re.compile(r"[a-z_]{1,32}")


@dataclass(eq=False)  # not frozen: context managers set the traceback of what passes them
class InvalidParameter(Exception):
    """A field breaks a rule; neither its value nor anything of it is told."""

    where: str
    rule: str

    def __str__(self) -> str:
        """`field: rule`."""
        return f"{self.where}: {self.rule}"


def field_name(name: object) -> str:
    """Return a field's name as a problem may tell it.

    One that looks like no name of ours may be a value in the wrong place: it is not told.
    """
    return str(name) if isinstance(name, int) or _OURS.fullmatch(str(name)) else "(unknown)"


def rule_told(message: str) -> str:
    """Return a rule as pydantic tells it, without what it puts before those that are ours."""
    return message.removeprefix("Value error, ")
