"""What commands show: bars while they work, figures when they are done."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import track
from rich.table import Table

from evaluation.engine import Progress
from models_store.comparator import Comparator
from models_store.manifest import Metric

T = TypeVar("T")

console = Console()


def shown(steps: Sequence[T], caption: str) -> Iterable[T]:
    """Return the steps, with a bar that follows them where there is a terminal."""
    return track(steps, caption, transient=True, disable=not console.is_terminal)


@contextmanager
def progress() -> Iterator[Progress]:
    """Yield what shows the stage of an evaluation and how much of it is done."""
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("evaluate", total=1.0)
        yield lambda stage, share: bar.update(task, description=stage, completed=share)


def tell_of_bundle(comparator: Comparator, out: Path) -> None:
    """Print the figures of a bundle that was written, and its digest."""
    print_figures(comparator.title, comparator.manifest.metrics)
    console.print(f"{out}: {comparator.digest}")


def print_figures(title: str, figures: Sequence[Metric]) -> None:
    """Print a table of figures, with their intervals and who was counted."""
    table = Table("figure", "value", "95 %", "who was counted", title=title)
    for figure in figures:
        span = "–".join(f"{end:.4f}" for end in figure.interval) if figure.interval else ""
        table.add_row(figure.name, f"{figure.value:.4f}", span, figure.protocol)
    console.print(table)
