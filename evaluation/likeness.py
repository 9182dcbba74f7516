"""Who looks like whom: the likeliest mistakes, mean scores between identities, a map."""

import base64

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from sklearn.manifold import TSNE

from evaluation.pair_counts import Reals, Rows
from evaluation.pair_walk import Walked, worst
from evaluation.pairs import Embedded
from evaluation.report import Confusion, ConfusionSection, Place, Similarity
from evaluation.samples import Samples
from index.gallery import Embeddings, Metric, distances

SHOWN = 12  # mistakes of each kind
COMPARED, COMPARED_EACH = 40, 10  # identities beside each other, and samples of each
MAPPED, MAPPED_EACH = 20, 15


def confusions(samples: Samples, walked: Walked | None) -> ConfusionSection:
    """Return the impostor pairs that are most alike, and the genuine ones that are least."""
    if walked is None:
        return ConfusionSection(impostor=(), genuine=())
    labels = samples.embedded.labels
    return ConfusionSection(
        impostor=tuple(_shown(samples, *pair) for pair in worst(walked.closest, labels, SHOWN)),
        genuine=tuple(_shown(samples, *pair) for pair in worst(walked.furthest, labels, SHOWN)),
    )


def similarity(samples: Samples) -> Similarity | None:
    """Return the mean scores within and between some identities, alike ones side by side.

    Of two encoders these are identities on both sides, if there are two; rows are of side a.
    """
    e = samples.embedded
    if e.of_b is not None:
        return _across(samples)
    if e.identities < 2:
        return None
    rows = _few(e, COMPARED, COMPARED_EACH)
    shown, own = np.unique(e.labels[rows], return_inverse=True)
    far = distances(e.embeddings[rows], e.embeddings[rows], e.metric)
    scores = e.score(far.astype(np.float64))
    np.fill_diagonal(scores, 0)
    into = np.eye(len(shown))[own]
    each = into.sum(axis=0)
    pairs = np.outer(each, each) - np.diag(each)
    means = np.divide(
        into.T @ scores @ into, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0
    )
    return _ordered(tuple(samples.identities[i] for i in shown), means)


def _across(samples: Samples) -> Similarity | None:
    e = samples.embedded
    on_both = (e.counts(of_b=False) > 0) & (e.counts(of_b=True) > 0)
    if on_both.sum() < 2:
        return None
    shared = np.flatnonzero(on_both)
    chosen = shared[_evenly(len(shared), COMPARED)]
    a, b = (
        [np.flatnonzero((e.labels == i) & (e.of_b == side))[:COMPARED_EACH] for i in chosen]
        for side in (False, True)
    )
    far = distances(e.embeddings[np.concatenate(a)], e.embeddings[np.concatenate(b)], e.metric)
    sums = e.score(far.astype(np.float64))
    for axis, rows in ((0, a), (1, b)):
        counts = [len(each) for each in rows]
        sums = np.add.reduceat(sums, np.cumsum([0, *counts[:-1]]), axis=axis)
        sums /= np.expand_dims(counts, 1 - axis)
    return _ordered(tuple(samples.identities[i] for i in chosen), sums)


def _ordered(identities: tuple[str, ...], means: Reals) -> Similarity:
    order = _side_by_side(means)
    return Similarity(
        identities=tuple(identities[i] for i in order),
        scores=tuple(
            tuple(None if np.isnan(mean) else round(float(mean), 4) for mean in means[i, order])
            for i in order
        ),
    )


def places(samples: Samples, seed: int) -> tuple[Place, ...]:
    """Return a map of some identities (t-SNE): samples, their centroids, and a query of each.

    The query is a sample that is left out of its identity's centroid. Embeddings of two numbers
    are shown as they are.
    """
    e = samples.embedded
    rows = _few(e, MAPPED, MAPPED_EACH)
    if len(rows) < 4:
        return ()
    labels = e.labels[rows]
    query = np.isin(np.arange(len(rows)), _queries(labels))
    centroids = [_centre(e, rows[(labels == i) & ~query]) for i in np.unique(labels)]
    points = np.concatenate([e.embeddings[rows], centroids]).astype(np.float32)
    at = points if points.shape[1] == 2 else _flattened(points, e.metric, seed)
    whose = [*labels.tolist(), *np.unique(labels).tolist()]
    kinds = ["query" if each else "sample" for each in query] + ["centroid"] * len(centroids)
    return tuple(
        Place(
            x=round(float(x), 2), y=round(float(y), 2), identity=samples.identities[i], kind=kind
        )
        for (x, y), i, kind in zip(at, whose, kinds, strict=True)
    )


def _flattened(points: Embeddings, metric: Metric, seed: int) -> Reals:
    far = distances(points, points, metric).astype(np.float64)
    found: Reals = TSNE(
        perplexity=min(15, (len(points) - 1) / 3),
        metric="precomputed",
        init="random",
        max_iter=600,
        random_state=seed,
        n_jobs=1,
    ).fit_transform((far + far.T) / 2)
    return found


def _shown(samples: Samples, a: int, b: int) -> Confusion:
    e = samples.embedded
    if e.of_b is not None and e.of_b[a]:
        a, b = b, a
    far = distances(e.embeddings[a : a + 1], e.embeddings[b : b + 1], e.metric)
    names = samples.names
    return Confusion(
        score=float(e.score(far.astype(np.float64))[0, 0]),
        rows=(a, b),
        identities=(samples.identities[e.labels[a]], samples.identities[e.labels[b]]),
        names=(names[a], names[b]) if names else (None, None),
        pictures=(_data_uri(samples.picture(a)), _data_uri(samples.picture(b))),
    )


def _data_uri(png: bytes | None) -> str | None:
    return None if png is None else f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _few(embedded: Embedded, identities: int, each: int) -> Rows:
    """Return the first rows of some identities, which lie evenly among all."""
    chosen = _evenly(embedded.identities, identities)
    return np.concatenate([np.flatnonzero(embedded.labels == i)[:each] for i in chosen.tolist()])


def _evenly(count: int, most: int) -> Rows:
    """Return up to `most` places that lie evenly among `count`."""
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))


def _queries(labels: Rows) -> list[int]:
    """Return the last place of every label that has two or more."""
    return [int(at[-1]) for i in np.unique(labels) if len(at := np.flatnonzero(labels == i)) > 1]


def _centre(e: Embedded, rows: Rows) -> Reals:
    centre: Reals = e.embeddings[rows].mean(axis=0, dtype=np.float64)
    if e.metric == "cosine":
        norm = np.linalg.norm(centre)
        centre = centre / norm if norm > 0 else e.embeddings[rows[0]]
    return centre


def _side_by_side(means: Reals) -> Rows:
    apart = 1 - np.nan_to_num(means)
    np.fill_diagonal(apart, 0)
    tree = linkage(
        squareform((apart + apart.T) / 2, checks=False), "average", optimal_ordering=True
    )
    leaves: Rows = leaves_list(tree)
    return leaves
