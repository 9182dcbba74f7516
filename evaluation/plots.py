"""What people would rather look at: DET, score histograms, a map of the embeddings."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from evaluation.pairs import Embedded, Pairs, all_pairs

mpl.rcParams["svg.hashsalt"] = "kindred"  # the same drawing is the same file
MAPPED_IDENTITIES = 20


def draw_plots(embedded: Embedded, folder: Path) -> None:
    """Write det.svg, scores.svg and map.svg to a folder."""
    pairs = all_pairs(embedded)
    drawings: dict[str, Callable[[Axes], None]] = {
        "det": partial(det, pairs=pairs),
        "scores": partial(score_histograms, pairs=pairs),
        "map": partial(embedding_map, embedded=embedded),
    }
    for name, draw in drawings.items():
        figure = Figure(figsize=(6, 4.5), layout="constrained")
        draw(figure.subplots())
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def det(axes: Axes, pairs: Pairs) -> None:
    """Draw FNMR against FMR, both on logarithmic axes, and the line of equal errors."""
    least = 1 / len(pairs.impostor)
    fmr = np.geomspace(2 * least, 0.9, 200)
    fnmr = [pairs.fnmr(pairs.threshold_at(rate)) for rate in fmr]
    axes.loglog(fmr, np.maximum(fnmr, 1 / len(pairs.genuine)))
    axes.loglog([least, 1], [least, 1], linestyle=":", color="grey")
    axes.set(xlabel="FMR", ylabel="FNMR", title=f"EER {pairs.equal_error_rate():.2%}")


def score_histograms(axes: Axes, pairs: Pairs) -> None:
    """Draw how scores of genuine and impostor pairs are spread, each summing to one."""
    bins = np.linspace(0, 1, 51).tolist()
    for scores, label in ((pairs.genuine, "genuine"), (pairs.impostor, "impostor")):
        share = np.full(len(scores), 1 / len(scores))
        axes.hist(scores, bins, weights=share, alpha=0.6, label=f"{label}, {len(scores)} pairs")
    axes.set(xlabel="score", ylabel="share of pairs", yscale="log")
    axes.legend()


def embedding_map(axes: Axes, embedded: Embedded) -> None:
    """Draw the samples of the first identities in the plane (t-SNE), a colour for each."""
    rows = embedded.labels < MAPPED_IDENTITIES
    vectors = embedded.embeddings[rows]
    metric = {"l1": "cityblock", "l2": "euclidean", "cosine": "cosine"}[embedded.metric]
    place = TSNE(
        perplexity=min(15, (len(vectors) - 1) / 3), metric=metric, init="random", random_state=0
    ).fit_transform(vectors)
    axes.scatter(place[:, 0], place[:, 1], c=embedded.labels[rows], cmap="tab20", s=12)
    axes.set(xticks=[], yticks=[], title=f"{len(set(embedded.labels[rows]))} identities")
