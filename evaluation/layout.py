"""Lay samples out on a plane so that neighbours stay neighbours: `python -m evaluation.layout`.

Standard input is an npz (no pickles): `embeddings` float32 (n, d), `start` float64 (n, 2),
`metric` str, `head` float64 (2,), the weight and bias that make scores of distances, and
`cluster_threshold` float64. Standard output is lines of JSON: `{"share": 0…1}` as the work goes
on, and at last `{"x": […], "y": […], "clusters": […]}`, each (n,). Nothing is written anywhere.
The same input gives the same output.
"""

import io
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from openTSNE import TSNEEmbedding
from openTSNE.affinity import PerplexityBasedNN
from openTSNE.nearest_neighbors import PrecomputedNeighbors
from scipy.special import expit

from index.clustering import join
from index.gallery import Embeddings, Metric, distances
from index.plane import Plane, scaled

PERPLEXITY = 30.0
EXAGGERATED, PLAIN = 60, 200  # iterations
THETA = 0.8  # how far a crowd is to count as one point; the library's .5 takes half as long again
_EVERY = 10  # iterations between two lines of how far it is
_START = 1e-4  # standard deviation of the positions that t-SNE begins with
_BLOCK = 512


def neighbours(
    embeddings: Embeddings, metric: Metric, k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the k nearest others of each sample (n, k) and how far they are, exactly.

    Distances by cosine are told as of the chord between the two unit vectors.
    """
    near = np.empty((len(embeddings), k), np.int64)
    far = np.empty((len(embeddings), k))
    for start in range(0, len(embeddings), _BLOCK):
        rows = distances(embeddings[start : start + _BLOCK], embeddings, metric)
        rows[np.arange(len(rows)), np.arange(start, start + len(rows))] = np.inf
        some = np.argpartition(rows, k - 1, axis=1)[:, :k]
        order = np.lexsort((some, np.take_along_axis(rows, some, axis=1)), axis=1)
        some = np.take_along_axis(some, order, axis=1)
        near[start : start + len(rows)] = some
        far[start : start + len(rows)] = np.take_along_axis(rows, some, axis=1)
    return near, np.sqrt(2 * far) if metric == "cosine" else far


def lay_out(
    embeddings: Embeddings,
    start: Plane,
    metric: Metric,
    on_share: Callable[[float], None] = lambda _share: None,
) -> Plane:
    """Return positions (n, 2) by t-SNE (van der Maaten and Hinton, 2008) from a first guess.

    The first guess decides what lies where at large (Kobak and Linderman, Nature Biotechnology
    39, 2021), and with one thread and no chance the same samples always lie alike.
    """
    perplexity = min(PERPLEXITY, (len(embeddings) - 1) / 3)
    near, far = neighbours(embeddings, metric, int(3 * perplexity))
    affinities = PerplexityBasedNN(
        knn_index=PrecomputedNeighbors(near, far), perplexity=perplexity, n_jobs=1, random_state=0
    )

    def after(before: int) -> list[Callable[..., None]]:
        return [lambda done, *_: on_share((before + done) / (EXAGGERATED + PLAIN))]

    plane = TSNEEmbedding(
        _begun(start),
        affinities,
        negative_gradient_method="auto",  # Barnes-Hut below 10,000 samples, else by FFT
        theta=THETA,
        n_jobs=1,
        random_state=0,
        callbacks_every_iters=_EVERY,
    )
    plane = plane.optimize(EXAGGERATED, exaggeration=12, momentum=0.8, callbacks=after(0))
    plane = plane.optimize(PLAIN, momentum=0.8, callbacks=after(EXAGGERATED))
    return scaled(np.asarray(plane, np.float64))


def clusters(
    embeddings: Embeddings, metric: Metric, head: tuple[float, float], threshold: float
) -> list[int]:
    """Return which samples belong together (n,), counted from 0 by first appearance."""
    weight, bias = head
    tree = join(embeddings, lambda far: expit(bias - weight * far), metric=metric)
    _, firsts, labels = np.unique(tree.cut(threshold), return_index=True, return_inverse=True)
    found: list[int] = np.argsort(np.argsort(firsts))[labels].tolist()
    return found


def _begun(start: Plane) -> Plane:
    """Return positions close to a point; equal ones are drawn apart a little."""
    spread = start.std() or 1.0
    apart = np.random.default_rng(0).normal(size=start.shape)
    return (start / spread + apart / 100) * _START


def main() -> None:
    """Do what the module's caption says."""
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as asked:
        embeddings, start = asked["embeddings"], asked["start"]
        metric: Metric = str(asked["metric"])  # type: ignore[assignment]
        weight, bias = asked["head"].tolist()
        threshold = float(asked["cluster_threshold"])
    together = clusters(embeddings, metric, (weight, bias), threshold)
    plane = lay_out(embeddings, start, metric, lambda share: _tell({"share": round(share, 3)}))
    x, y = plane.T.tolist()
    _tell({"x": x, "y": y, "clusters": together})


def _tell(line: Mapping[str, Any]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
