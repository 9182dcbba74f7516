"""Whether a probe is more like one that was not an identity, as somebody said, than like it."""

from index.gallery import Embeddings, Metric, distances


def rejected(probe: Embeddings, own: Embeddings, others: Embeddings, metric: Metric) -> bool:
    """Whether one of `others` (m, d) is nearer to a probe (d,) than `own` (n, d) in the mean.

    The mean, because one sample of another is to be compared with one of the identity's: the
    nearest of many is near by chance alone. `python -m benchmarks.feedback` measures it.
    """
    near = distances(probe[None], others, metric).min()
    return bool(near < distances(probe[None], own, metric).mean())
