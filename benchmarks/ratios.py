"""One thing beside its rival: measured in turns, told as a ratio, higher is better."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True)
class Ratio:
    """What we do in each round beside what a rival does in it, and the ratio that is wanted.

    `ours` and `theirs` are in `unit`, of which more is better if it is a rate (`…/s`), else less.
    `note` tells why nothing was measured, where that is so, or what else is to be known.
    """

    what: str
    rival: str
    unit: str
    ours: Sequence[float] = ()
    theirs: Sequence[float] = ()
    wanted: float | None = None
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """How many times better we are, round by round."""
        pairs = zip(self.ours, self.theirs, strict=True)
        rate = self.unit.endswith("/s")
        return [a / b if rate else b / a for a, b in pairs]

    def line(self) -> str:
        """Return a line of the table."""
        wanted = "" if self.wanted is None else f"≥ {self.wanted:g}"
        if not self.ours:
            return f"| {self.what} | {self.rival} | – | {wanted} | | | {self.note} |"
        ours, theirs = (f"{median(each):.3g} {self.unit}" for each in (self.ours, self.theirs))
        return (
            f"| {self.what} | {self.rival} | {spread(self.ratios)} | {wanted} | {ours} | {theirs} "
            f"| {self.note} |"
        )


HEAD = f"| what | beside | times as good | wanted | ours | theirs | note |\n|{'---|' * 7}"


def spread(ratios: Sequence[float]) -> str:
    """Return the median of ratios, and from where to where they lie."""
    return f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def write(rows: Iterable[Ratio], out: Path) -> None:
    """Write rows as JSON, every round of them, and what they were measured on."""
    machine = {
        "cores": len(os.sched_getaffinity(0)),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }
    told = [asdict(row) | {"ratio": median(row.ratios) if row.ours else None} for row in rows]
    out.write_text(json.dumps({"machine": machine, "rows": told}, indent=1, ensure_ascii=False))
