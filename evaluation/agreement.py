"""How well clusters agree with identities: ARI, AMI, V-measure, B³."""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    homogeneity_completeness_v_measure,
)

from evaluation.intervals import draws, interval, too_few
from evaluation.report import Agreement, Figure

Labels = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

_REPLICATES = 400


def agreement(truth: Labels, found: Labels, spread: tuple[float, float], seed: int) -> Agreement:
    """Return every measure of the clusters `found` (n,) of samples of identities `truth` (n,).

    Everybody clustered is counted. Intervals draw identities anew and keep the clusters: an
    identity drawn v times weighs v-fold, and copies of one are not compared with each other.
    `spread` is given through.
    """
    counts = contingency(truth, found)
    counted = f"{len(truth)} samples of {len(counts)} identities"
    precision, recall = b3_by_identity(counts)
    size = counts.sum(axis=1)
    values = {
        "ari": adjusted_rand_score(truth, found),
        "ami": adjusted_mutual_info_score(truth, found),
        "v_measure": homogeneity_completeness_v_measure(truth, found)[2],
        "b3_precision": precision @ size / size.sum(),
        "b3_recall": recall @ size / size.sum(),
    }
    values["b3"] = harmonic(values["b3_precision"], values["b3_recall"])
    if reason := too_few(len(counts)):
        missing = Figure(counted=counted, too_few=reason)
        return Agreement(**dict.fromkeys(values, missing), spread=spread)
    again = _replicates(counts, draws(len(counts), seed, _REPLICATES), values["ami"])
    # Fewer different identities agree better or worse by that alone: it is the spread that counts.
    centred = {name: again[name] - again[name].mean() + value for name, value in values.items()}
    return Agreement(
        **{
            name: Figure(
                value=float(value), interval=interval(centred[name].clip(-1, 1)), counted=counted
            )
            for name, value in values.items()
        },
        spread=spread,
    )


def contingency(truth: Labels, found: Labels) -> Reals:
    """Return how many samples of each identity are in each cluster (identities, clusters)."""
    whose, own = np.unique(truth, return_inverse=True)
    clusters, where = np.unique(found, return_inverse=True)
    counts = np.bincount(own * len(clusters) + where, minlength=len(whose) * len(clusters))
    return counts.reshape(len(whose), len(clusters)).astype(np.float64)


def b3_by_identity(counts: Reals, weights: Reals | None = None) -> tuple[Reals, Reals]:
    """Return the mean B³ precision and recall of each identity's samples (identities,).

    Bagga and Baldwin (1998): a sample's precision is the share of its cluster that is of its
    identity, its recall the share of its identity that is in its cluster; the sample itself
    counts in both. `weights` (identities,) say how often an identity counts in the clusters.
    """
    weights = np.ones(len(counts)) if weights is None else weights
    clusters = np.maximum(weights @ counts, 1e-12)
    size = counts.sum(axis=1)
    precision: Reals = (counts**2 * weights[:, None] / clusters).sum(axis=1) / size
    recall: Reals = (counts**2).sum(axis=1) / size**2
    return precision, recall


def harmonic(a: Reals, b: Reals) -> Reals:
    """Return the harmonic mean of two rates, zero where both are."""
    both: Reals = 2 * a * b / np.maximum(a + b, 1e-12)
    return both


def rand_index(counts: Reals, weights: Reals) -> float:
    """Return the ARI (Hubert and Arabie, 1985), each identity counting as often as it weighs.

    Pairs of one identity weigh as it does, pairs of two as their product.
    """
    size = counts.sum(axis=1)
    own_pairs, own_total = (counts * (counts - 1)).sum(axis=1) / 2, size * (size - 1) / 2
    together = weights @ own_pairs
    same = weights @ own_total
    clusters = (weights @ counts) ** 2 - (weights**2) @ counts**2
    joined = together + clusters.sum() / 2
    total = same + ((weights @ size) ** 2 - (weights**2) @ size**2) / 2
    expected = same * joined / total
    most = (same + joined) / 2
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def _replicates(counts: Reals, drawn: Reals, ami: float) -> dict[str, Reals]:
    chance = _chance(counts, ami)
    rows = [_replicate(counts, weights, chance) for weights in drawn]
    ari, adjusted, v, precision, recall = np.array(rows).T
    return {
        "ari": ari,
        "ami": adjusted,
        "v_measure": v,
        "b3_precision": precision,
        "b3_recall": recall,
        "b3": harmonic(precision, recall),
    }


def _replicate(counts: Reals, weights: Reals, chance: float) -> list[float]:
    size = weights * counts.sum(axis=1)
    precision, recall = b3_by_identity(counts, weights)
    mutual, whose, where = _information(counts, weights)
    half = (whose + where) / 2
    return [
        rand_index(counts, weights),
        1.0 if half == chance else (mutual - chance) / (half - chance),
        1.0 if half == 0 else mutual / half,
        float(precision @ size / size.sum()),
        float(recall @ size / size.sum()),
    ]


def _chance(counts: Reals, ami: float) -> float:
    """Return what mutual information chance expects, by the AMI: slow to compute, it is kept."""
    mutual, whose, where = _information(counts, np.ones(len(counts)))
    return 0.0 if ami >= 1 else (mutual - ami * (whose + where) / 2) / (1 - ami)


def _information(counts: Reals, weights: Reals) -> tuple[float, float, float]:
    """Return mutual information and entropies (nats) of identities that weigh so much."""
    joint = counts * weights[:, None]
    joint = joint / joint.sum()
    whose, where = _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0))
    return whose + where - _entropy(joint.ravel()), whose, where


def _entropy(shares: Reals) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())
