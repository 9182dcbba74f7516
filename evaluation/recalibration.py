"""What scores are worth among a user's own identities, for a gallery to be judged by."""

from dataclasses import asdict

import numpy as np

from evaluation.cuts import best_cut, collections
from evaluation.samples import NotEvaluable, Samples
from index.calibration import calibrate
from models_store.manifest import Calibration, GenuineScores, PosteriorModel

MOST_IDENTITIES, MOST_SAMPLES = 400, 10  # that the simulated galleries are drawn from
_CLUSTERED = 500  # items of a collection that chooses the cut of clusterings
_QUANTILES = 200


def recalibrate(samples: Samples, seed: int = 0) -> Calibration:
    """Return the comparator's calibration as these samples make it, its rule being kept.

    Raises NotEvaluable where the identities are too few, or are samples of two encoders.
    """
    e, served = samples.embedded, samples.served
    if e.of_b is not None:
        raise NotEvaluable("not calibrated: expected samples of one encoder, got two sides")
    random = np.random.default_rng(seed)
    order = random.permutation(len(e.labels))
    chosen = random.permutation(e.identities)[:MOST_IDENTITIES]
    rows = np.concatenate(
        [order[e.labels[order] == identity][:MOST_SAMPLES] for identity in chosen]
    )
    try:
        posterior, genuine = calibrate(
            e.embeddings[rows],
            [str(label) for label in e.labels[rows]],
            e.score,
            metric=e.metric,
            rule=served.rule,
            seed=seed,
        )
    except ValueError as error:
        raise NotEvaluable(f"not calibrated: {error}") from error
    clustered = collections(e, random, draws=1, items=_CLUSTERED)
    levels = np.linspace(0, 1, _QUANTILES)
    return Calibration(
        rule=served.rule,
        cluster_threshold=best_cut(e, [rows for [rows] in clustered]),
        genuine=GenuineScores(
            rule=served.rule,
            by_samples={
                count: tuple(np.quantile(scores, levels).tolist())
                for count, scores in genuine.by_samples.items()
            },
        ),
        posterior=PosteriorModel.model_validate(asdict(posterior)),
    )
