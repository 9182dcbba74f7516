"""A parameter that breaks a rule, wherever that is noticed."""

from dataclasses import dataclass

UNKNOWN = "an unknown field"
"""What a field is called whose name is not ours: it may be a value in the wrong place."""


@dataclass(eq=False)  # not frozen: context managers set the traceback of what passes them
class InvalidParameter(Exception):
    """A field breaks a rule; neither its value nor anything of it is told."""

    where: str
    rule: str

    def __str__(self) -> str:
        """`field: rule`."""
        return f"{self.where}: {self.rule}"


def rule_told(message: str) -> str:
    """Return a rule as pydantic tells it, without what it puts before those that are ours."""
    return message.removeprefix("Value error, ")
