"""Parts of a report's page as HTML: texts, numbers with their intervals, tables, plots."""

from collections.abc import Sequence
from html import escape

from evaluation import plots
from evaluation.report import Figure, Side


def plot(
    name: str, draw: plots.Draw, caption: str, width: float = 5.0, height: float = 3.4
) -> str:
    """Return a picture of so many inches with what is told below it."""
    told = f"<figcaption>{escaped(caption)}</figcaption>" if caption else ""
    widest = f' style="max-width:{int(width * 105)}px"'
    return f"<figure{widest}>{plots.svg(name, draw, width, height)}{told}</figure>"


def side_by_side(figures: Sequence[str]) -> str:
    """Return pictures in a row, as far as they fit."""
    return f"<div class=plots>{''.join(figures)}</div>" if figures else ""


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    ours: Sequence[bool] | None = None,
    *,
    tall: bool = False,
) -> str:
    """Return a table where rows of `ours` stand out; if `tall`, intervals have their own lines."""
    head = "".join(f"<th>{name}</th>" for name in heads)
    marked = ours or [False] * len(rows)
    # Where all rows are ours, none stands out.
    marked = [each and not all(marked) for each in marked]
    body = "".join(
        f"<tr{' class=ours' if mark else ''}>"
        + "".join(
            f"<td{' class=who' if name == 'counted' else ' class=n'}>{cell}</td>"
            for name, cell in zip(heads, row, strict=True)
        )
        + "</tr>"
        for row, mark in zip(rows, marked, strict=True)
    )
    kind = "wide tall" if tall else "wide"
    return f'<div class="{kind}"><table><tr>{head}</tr>{body}</table></div>'


def number(figure: Figure) -> str:
    """Return a figure with its interval."""
    if figure.value is None:
        return f'<span class=few title="{escaped(figure.too_few or "")}">too few to say</span>'
    return f"{figure.value:.4f} <small>{_span(figure)}</small>"


def big(figure: Figure) -> str:
    """Return a figure in per cent, or that it is too few."""
    return (
        "<span class=few>too few to say</span>" if figure.value is None else f"{figure.value:.1%}"
    )


def _span(figure: Figure) -> str:
    return "{:.4f}–{:.4f}".format(*figure.interval) if figure.interval else ""


def percents(figure: Figure) -> str:
    """Return a figure's interval in per cent."""
    return "{:.1%} to {:.1%}".format(*figure.interval) if figure.interval else ""


def who(figure: Figure) -> str:
    """Return who was counted."""
    return escaped(f"{figure.counted}; {figure.too_few}" if figure.too_few else figure.counted)


def asked_by(probes: Side | None) -> str:
    """Return which side asked, where there are two."""
    return f", asked by side {probes}" if probes else ""


def paragraph(text: str) -> str:
    """Return a paragraph."""
    return f"<p>{escaped(text)}</p>"


def notes(given: Sequence[str]) -> str:
    """Return notes as a list."""
    rows = "".join(f"<li>{escaped(note)}</li>" for note in given)
    return f'<ul class="few">{rows}</ul>' if rows else ""


def escaped(given: str) -> str:
    """Return a text for HTML, characters that cannot be shown replaced."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in given))
