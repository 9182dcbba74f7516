"""What people would rather look at: each plot an SVG that follows the page's colours."""

import io
import re
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from evaluation.pair_counts import Reals
from evaluation.report import (
    Bin,
    Curve,
    Decision,
    Histogram,
    OpenSetRow,
    Place,
    Similarity,
    Strangers,
)

INK, LINE = "#010203", "#040506"  # stand-ins, which the page's own colours replace
GENUINE, IMPOSTOR = "#2a78c8", "#d9722e"
COLOURS = ("#2a78c8", "#d9722e", "#1f9d80", "#b05cc6", "#d2434f", "#8b8f97")
_DECISIONS: tuple[Decision, ...] = (
    "served",
    "fixed pair threshold",
    "raw sigmoid",
    "seed rule",
    "tied vote",
)
_LONGEST = 18  # characters of a name in a plot
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kindred",  # the same drawing is the same file
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.titlesize": 9,
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
}

Draw = Callable[[Figure | SubFigure], None]


def svg(name: str, draw: Draw, width: float = 5.0, height: float = 3.4) -> str:
    """Return what `draw` draws as an SVG element; `name` keeps its ids apart from others'."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a script that the font lacks is drawn by the browser's
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    return text.replace(INK, "currentColor").replace(LINE, "var(--line)")


def plain(name: str) -> str:
    """Return a name without characters that cannot be shown, cut to fit in a plot."""
    shown = "".join(
        c if unicodedata.category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for c in name
    )
    return shown if len(shown) <= _LONGEST else f"…{shown[1 - _LONGEST :]}"


def histograms(histogram: Histogram) -> Draw:
    """Draw how scores of genuine and impostor pairs are spread, each summing to one."""

    def draw(figure: Figure | SubFigure) -> None:
        axes = figure.subplots()
        for shares, label, colour in (
            (histogram.impostor, "impostor", IMPOSTOR),
            (histogram.genuine, "genuine", GENUINE),
        ):
            axes.stairs(shares, histogram.edges, fill=True, alpha=0.35, color=colour)
            axes.stairs(shares, histogram.edges, color=colour, label=label, linewidth=1.2)
        axes.set(xlabel="score", ylabel="share of pairs", yscale="log", xlim=(0, 1))
        axes.minorticks_off()
        axes.legend()

    return draw


def det(curve: Curve, eer: float | None) -> Draw:
    """Draw FNMR against FMR, both on logarithmic axes, and the line of equal errors."""

    def draw(figure: Figure | SubFigure) -> None:
        axes = figure.subplots()
        axes.loglog(*_positive(curve.fmr, curve.fnmr), color=GENUINE)
        axes.axline((1e-3, 1e-3), (1, 1), linestyle=":", color=COLOURS[-1], linewidth=1)
        if eer:
            axes.plot([eer], [eer], "o", color=IMPOSTOR, label=f"EER {eer:.2%}")
            axes.legend(loc="lower left")
        axes.set(xlabel="FMR: impostor pairs accepted", ylabel="FNMR: genuine pairs refused")
        axes.set(ylim=(None, 1.1), xlim=(None, 1.1))
        axes.minorticks_off()

    return draw


def roc(curve: Curve, auc: float | None) -> Draw:
    """Draw the share of genuine pairs accepted against that of impostor pairs."""

    def draw(figure: Figure | SubFigure) -> None:
        axes = figure.subplots()
        accepted = 1 - np.array(curve.fnmr)
        axes.plot([*curve.fmr, 0], [*accepted, 0], color=GENUINE, label=auc and f"AUC {auc:.4f}")
        axes.plot([0, 1], [0, 1], linestyle=":", color=COLOURS[-1], linewidth=1)
        axes.set(xlabel="FMR", ylabel="genuine pairs accepted", xlim=(-0.01, 1), ylim=(0, 1.01))
        if auc:
            axes.legend(loc="lower right")

    return draw


def by_size(rows: Sequence[OpenSetRow], strangers: Strangers, samples: int) -> Draw:
    """Draw FPIR and FNIR against the size of gallery, by way of deciding; 5 % is asked."""

    def draw(figure: Figure | SubFigure) -> None:
        panels = figure.subplots(1, 2)
        for axes, name in zip(panels, ("fpir", "fnir"), strict=True):
            for decision, colour in zip(_DECISIONS, COLOURS, strict=False):
                own = [
                    row
                    for row in rows
                    if (row.strangers, row.samples, row.decision) == (strangers, samples, decision)
                    and row.asked in (None, 0.05)
                    and getattr(row, name).value is not None
                ]
                _line(axes, own, name, decision, colour)
            axes.set(xscale="log", xlabel="identities enrolled", ylim=(-0.02, 1.02))
            sizes = sorted({row.identities for row in rows if row.strangers == strangers})
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.minorticks_off()
        panels[0].axhline(0.05, linestyle=":", color=COLOURS[-1], linewidth=1)
        panels[0].set_ylabel("FPIR: strangers named")
        panels[1].set_ylabel("FNIR: enrolled not named rightly")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5)

    return draw


def reliability(curves: Sequence[tuple[str, Sequence[Bin]]]) -> Draw:
    """Draw the share that was right against what was stated; a dot is as large as its weight."""

    def draw(figure: Figure | SubFigure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], linestyle=":", color=COLOURS[-1], linewidth=1)
        for (label, bins), colour in zip(curves, COLOURS, strict=False):
            stated, right = [each.stated for each in bins], [each.right for each in bins]
            axes.plot(stated, right, color=colour, linewidth=1.2, label=label)
            axes.scatter(stated, right, [4 + 90 * each.weight for each in bins], color=colour)
        axes.set(xlabel="stated", ylabel="right", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.legend(loc="upper left")

    return draw


def matrix(names: Sequence[str], values: Reals, *, rows: str, columns: str, numbers: bool) -> Draw:
    """Draw values between 0 and 1 as shades (m, m), the names at both sides; NaN stays empty."""

    def draw(figure: Figure | SubFigure) -> None:
        axes = figure.subplots()
        colour = np.array([int(GENUINE[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        shades = np.concatenate(
            [np.broadcast_to(colour, (*values.shape, 3)), np.nan_to_num(values)[..., None]], axis=2
        )
        axes.imshow(shades.clip(0, 1), interpolation="nearest", aspect="equal")
        shown = [plain(name) for name in names]
        size = max(4.0, min(8.0, 260 / len(names)))
        axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(range(len(names)), shown, fontsize=size, parse_math=False)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.set(xlabel=columns, ylabel=rows)
        if numbers:
            for (i, j), value in np.ndenumerate(values):
                if value >= 0.005:
                    axes.text(j, i, f"{value:.0%}"[:-1], ha="center", va="center", fontsize=7)

    return draw


def similarity(given: Similarity, *, across: bool = False) -> Draw:
    """Draw the mean scores of identities, alike ones side by side.

    With `across` rows are of side a and columns of side b.
    """
    values = np.array([[np.nan if s is None else s for s in row] for row in given.scores])
    rows, columns = ("side a", "side b") if across else ("", "")
    return matrix(given.identities, values, rows=rows, columns=columns, numbers=False)


def embedding_map(places: Sequence[Place]) -> Draw:
    """Draw samples in the plane, a colour for each identity; centroids and queries are marked."""

    def draw(figure: Figure | SubFigure) -> None:
        axes = figure.subplots()
        names = sorted({place.identity for place in places})
        colours = mpl.colormaps["tab20"](np.arange(len(names)) % 20)
        marks = {"sample": ("o", 14, 0.6), "query": ("*", 90, 1.0), "centroid": ("X", 55, 1.0)}
        for kind, (marker, size, alpha) in marks.items():
            own = [place for place in places if place.kind == kind]
            axes.scatter(
                [place.x for place in own],
                [place.y for place in own],
                size,
                c=[colours[names.index(place.identity)] for place in own],
                marker=marker,
                alpha=alpha,
                edgecolors="none" if kind == "sample" else INK,
                linewidths=0.6,
                label=kind,
            )
        for place in places:
            if place.kind == "centroid":
                axes.annotate(
                    plain(place.identity),
                    (place.x, place.y),
                    (0, 6),
                    textcoords="offset points",
                    ha="center",
                    fontsize=7,
                    parse_math=False,
                )
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        legend = axes.legend(loc="best")
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set(facecolor=COLOURS[-1])

    return draw


def _line(axes: Axes, rows: Sequence[OpenSetRow], name: str, label: str, colour: str) -> None:
    sizes = [row.identities for row in rows]
    figures = [getattr(row, name) for row in rows]
    style = "--" if label == "seed rule" else "-"  # with one sample each it is the raw sigmoid
    values = [f.value for f in figures]
    axes.plot(sizes, values, f"o{style}", markersize=3, color=colour, label=label)
    if label == "served" and rows:
        low, high = zip(*(f.interval for f in figures), strict=True)
        axes.fill_between(sizes, low, high, color=colour, alpha=0.18, linewidth=0)


def _positive(fmr: Sequence[float], fnmr: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the points that logarithmic axes can show."""
    both = [(x, y) for x, y in zip(fmr, fnmr, strict=True) if x > 0 and y > 0]
    return [x for x, _ in both], [y for _, y in both]
