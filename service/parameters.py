"""A parameter that breaks a rule, wherever that is noticed."""

from dataclasses import dataclass


@dataclass(eq=False)  # not frozen: context managers set the traceback of what passes them
class InvalidParameter(Exception):
    """A field breaks a rule; neither its value nor anything of it is told."""

    where: str
    rule: str

    def __str__(self) -> str:
        """`field: rule`."""
        return f"{self.where}: {self.rule}"
