"""From distances to decisions: what a bundle learns on identities held out of its training."""

from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from evaluation.cuts import best_cut, collections
from evaluation.open_set import draw_trial
from evaluation.pairs import Embedded, Pairs, all_pairs
from evaluation.purity import purity_laws
from index.calibration import calibrate as worth_of_scores
from index.fusion import CHOICES
from index.roster import Rule, Score, Scores
from models_store.manifest import (
    Calibration,
    GenuineScores,
    Head,
    OperatingPoint,
    PosteriorModel,
    RuleCalibration,
)

FMRS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
RULES: tuple[Rule, ...] = ("max", "mean", "centroid", "knn")
GENUINE_QUANTILES = 200
TARGET_FPIR = 0.05
CLUSTERED = 1_000  # items of a collection that chooses the cut
_FEWEST_PAIRS = 10  # an operating point rests on at least so many accepted impostor pairs


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A head, its operating points, and what else was chosen on held-out identities.

    `choices_b` are those for probes of side b, where that has an encoder of its own.
    """

    head: Head
    operating_points: tuple[OperatingPoint, ...]
    choices: Calibration
    choices_b: Calibration | None = None


def calibrate(
    embedded: Embedded,
    seed: int,
    further: Embedded | None = None,
    judged: Pairs | None = None,
    *,
    by_group: bool = False,
) -> Calibrated:
    """Return what held-out samples say; their own `score` is not looked at.

    `further` are more identities, whose likes are not quite those to be enrolled: simulated
    galleries larger than the held-out identities allow are drawn from both. `judged` is the
    closeness (negated distances) of pairs that people judged, for the head and the operating
    points to go by instead of all pairs of the samples. `by_group` is for samples whose groups
    are unlike each other, as `Identifier` takes its strangers; then none are further. Raises
    ValueError if impostor pairs are no further apart than genuine ones.
    """
    closeness = judged or all_pairs(replace(embedded, score=np.negative))
    head = fit_head(closeness)
    scored = replace(embedded, score=score_of(head))
    rule = best_rule(scored, seed)
    chosen = prices(scored, rule, seed, further, by_group=by_group)
    clustered = collections(scored, np.random.default_rng(seed), draws=2, items=CLUSTERED)
    others = {
        other: prices(scored, other, seed, further, by_group=by_group)
        for other in CHOICES
        if other != rule
    }
    return Calibrated(
        head,
        operating_points(
            Pairs(_scores(closeness.genuine, head), _scores(closeness.impostor, head))
        ),
        Calibration(
            rule=rule,
            cluster_threshold=best_cut(scored, [rows for drawn in clustered for rows in drawn]),
            cluster_purity=purity_laws(scored, seed),
            genuine=chosen.genuine,
            posterior=chosen.posterior,
            others={other: price for other, price in others.items() if price.posterior},
        ),
    )


def score_of(head: Head) -> Score:
    """Return the function that the head is: distances → scores."""

    def score(distances: Scores) -> Scores:
        scores: Scores = expit(head.bias - head.weight * distances)
        return scores

    return score


def fit_head(closeness: Pairs) -> Head:
    """Return the logistic regression of "same identity" on distance, at even odds.

    `closeness` holds negated distances. Both kinds of pairs weigh the same in sum, so that .5
    is undecided when a match is as likely as not.
    """
    distances = -np.concatenate([closeness.genuine, closeness.impostor])[:, None]
    counts = [len(closeness.genuine), len(closeness.impostor)]
    weights = np.repeat([0.5 / count for count in counts], counts)
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(distances, np.repeat([1, 0], counts), weights * sum(counts))
    weight, bias = -float(model.coef_[0, 0]), float(model.intercept_[0])
    if weight <= 0:
        raise ValueError("held-out impostor pairs are no further apart than genuine ones")
    return Head(weight=weight, bias=bias)


def operating_points(pairs: Pairs) -> tuple[OperatingPoint, ...]:
    """Return a point for each usual FMR that the impostor pairs resolve."""
    resolved = [fmr for fmr in FMRS if fmr * len(pairs.impostor) >= _FEWEST_PAIRS]
    thresholds = [pairs.threshold_at(fmr) for fmr in resolved]
    return tuple(
        OperatingPoint(fmr=fmr, threshold=min(threshold, 1.0), fnmr=pairs.fnmr(threshold))
        for fmr, threshold in zip(resolved, thresholds, strict=True)
    )


def best_rule(
    embedded: Embedded, seed: int, enrolled: int = 50, samples: int = 3, trials: int = 6
) -> Rule:
    """Return the fusion rule that misses fewest of the enrolled at the cohort's threshold.

    Galleries have three samples an identity; with one, all rules are the same. Where there are
    too few identities for a trial, the answer is `max`.
    """
    random = np.random.default_rng(seed)
    drawn = [draw_trial(embedded, enrolled, "like-cohort", random, samples) for _ in range(trials)]
    galleries = [trial for trial in drawn if trial is not None]
    if not galleries:
        return "max"
    missed = {
        rule: np.mean([t.errors(rule, target_fpir=TARGET_FPIR)[1].mean() for t in galleries])
        for rule in RULES
    }
    return min(RULES, key=lambda rule: missed[rule])


def prices(
    embedded: Embedded,
    rule: Rule,
    seed: int,
    further: Embedded | None = None,
    *,
    by_group: bool = False,
) -> RuleCalibration:
    """Return what a rule's scores are worth in simulated galleries; nothing if they are too few.

    The service then answers null, which is what is known.
    """
    try:
        posterior, genuine = worth_of_scores(
            embedded.embeddings,
            _names(embedded),
            embedded.score,
            metric=embedded.metric,
            rule=rule,
            further=(further.embeddings, _names(further)) if further else None,
            groups=embedded.groups if by_group else None,
            seed=seed,
        )
    except ValueError:
        return RuleCalibration()
    levels = np.linspace(0, 1, GENUINE_QUANTILES)
    quantiles = {
        samples: tuple(np.quantile(scores, levels).tolist())
        for samples, scores in genuine.by_samples.items()
    }
    return RuleCalibration(
        genuine=GenuineScores(rule=rule, by_samples=quantiles),
        posterior=PosteriorModel.model_validate(asdict(posterior)),
    )


def _names(embedded: Embedded) -> list[str]:
    return [str(label) for label in embedded.labels]


def _scores(closeness: np.ndarray, head: Head) -> np.ndarray:
    return score_of(head)(-closeness.astype(np.float64)).astype(np.float32)
