"""Are planted faults found and a promised purity kept? `python -m evaluation.gallery_checks NPZ`.

NPZ holds `embeddings` float32 (n, d), unit vectors compared by cosine, and `identities` str (n,),
as `samples.npz` of `python -m evaluation` does. Half of the identities set the head and the laws
of purity, and the others are clustered, by average linkage and the leader procedure too; faults
are planted in galleries of all of them.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import fcluster
from scipy.cluster.hierarchy import linkage as scipy_linkage
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from evaluation.calibration import fit_head, score_of
from evaluation.cuts import CUTS, Rows, draw
from evaluation.pairs import Embedded, Labels, all_pairs
from evaluation.purity import purity, purity_laws
from index.clustering import PurityLaw, leader, linkage
from index.gallery import Embeddings, Reference, distances
from index.health import Health, examine

SAMPLES = 10
FLIPPED = 0.05
SPLIT = 10
ORDERS = 10


@dataclass(frozen=True, slots=True)
class Planted:
    """A gallery with wrong names and identities under two names.

    `rows` (m,) are of the embedded samples, `names` (m,) as enrolled, `flipped` (m,) which are
    wrong, and `split` the pairs of names that are one identity.
    """

    rows: Labels
    names: Labels
    flipped: np.ndarray
    split: frozenset[frozenset[int]]


def plant(embedded: Embedded, size: int, seed: int, *, flips: float, splits: int) -> Planted:
    """Return a gallery of `size` identities, ten samples each, with these faults."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(embedded.identities)[:size]
    drawn = [random.permutation(np.flatnonzero(embedded.labels == i))[:SAMPLES] for i in chosen]
    names = np.repeat(np.arange(len(chosen)), [len(rows) for rows in drawn])
    twice = random.permutation(len(chosen))[:splits]
    for again, name in enumerate(twice, start=len(chosen)):
        own = np.flatnonzero(names == name)
        names[own[: len(own) // 2]] = again
    flipped = np.zeros(len(names), bool)
    for i in random.permutation(len(names))[: int(flips * len(names))]:
        other = int(random.integers(len(chosen) - 1))
        names[i] = other + (other >= names[i])
        flipped[i] = True
    pairs = enumerate(twice.tolist(), start=len(chosen))
    return Planted(
        np.concatenate(drawn), names, flipped, frozenset(frozenset(pair) for pair in pairs)
    )


def wrong_names_found(embedded: Embedded, size: int, seed: int) -> tuple[float, float, float]:
    """Return AUC, precision and recall of `mislabelled`, with one name in twenty wrong.

    In the AUC what is not listed ranks last, as one.
    """
    planted = plant(embedded, size, seed, flips=FLIPPED, splits=0)
    probability = np.zeros(len(planted.names))
    for each in _checked(embedded, planted).mislabelled or ():
        probability[each.key] = each.probability
    listed = probability > 0
    hits = int(planted.flipped[listed].sum())
    return (
        float(roc_auc_score(planted.flipped, probability)),
        hits / max(int(listed.sum()), 1),
        hits / int(planted.flipped.sum()),
    )


def duplicates_found(
    embedded: Embedded, size: int, seed: int, splits: int = SPLIT
) -> tuple[float, float]:
    """Return precision and recall of `duplicates` with so many identities under two names.

    Identities that look the same but go by two names in the data count as mistakes.
    """
    planted = plant(embedded, size, seed, flips=0, splits=splits)
    told = {
        frozenset(int(name) for name in each.identities)
        for each in _checked(embedded, planted).duplicates or ()
    }
    hits = len(told & planted.split)
    return hits / max(len(told), 1), hits / len(planted.split)


def purity_kept(
    embedded: Embedded, law: PurityLaw, size: int, samples: int, seed: int
) -> tuple[float, float]:
    """Return purity and adjusted Rand index of a clustering cut by this law."""
    random = np.random.default_rng(seed)
    rows = draw(embedded, random.permutation(embedded.identities)[:size], samples, random)
    labels = np.unique(embedded.labels[rows], return_inverse=True)[1]
    found = linkage(embedded.embeddings[rows], embedded.score, law, metric=embedded.metric)
    clusters = np.array(found.labels)
    return purity(labels, clusters), float(adjusted_rand_score(labels, clusters))


def clusterings(one: Embedded, other: Embedded, size: int, seed: int) -> dict[str, float]:
    """Return the adjusted Rand index of each procedure, of 20 samples of `size` identities.

    Cut where it agrees best with as many identities of `one`, at most fifty; the leader procedure
    by its best of ten orders.
    """
    random = np.random.default_rng(seed)
    chosen, rows = (
        draw(e, random.permutation(e.identities)[:most], 20, random)
        for e, most in ((one, min(size, 50)), (other, size))
    )

    told = {}
    for name in ("linkage", "average linkage", "leader"):
        cuts = CUTS[::2].tolist()
        cut = cuts[int(np.argmax([_agreed(one, chosen, name, each) for each in cuts]))]
        orders = [random.permutation(rows) for _ in range(ORDERS if name == "leader" else 1)]
        told[name] = max(_agreed(other, order, name, cut) for order in orders)
    return told


def _agreed(embedded: Embedded, rows: Rows, name: str, cut: float) -> float:
    """Return the adjusted Rand index of the clusters that a procedure makes of these rows."""
    items = embedded.embeddings[rows]
    if name == "average linkage":
        found = _average(items, embedded, cut)
    else:
        procedure = leader if name == "leader" else linkage
        clustered = procedure(items, embedded.score, cut, metric=embedded.metric)
        found = np.array(clustered.labels)
    return float(adjusted_rand_score(embedded.labels[rows], found))


def _average(items: Embeddings, embedded: Embedded, cut: float) -> Rows:
    far = distances(items, items, embedded.metric)[np.triu_indices(len(items), 1)]
    merges = scipy_linkage(1 - embedded.score(far.astype(np.float64)), "average")
    found: Rows = fcluster(merges, 1 - cut, "distance")
    return found


def halves(embedded: Embedded, seed: int) -> tuple[Embedded, Embedded]:
    """Return one half of the identities to calibrate by, and the other, scored by that head."""
    half = np.random.default_rng(seed).permutation(embedded.identities) % 2 == 0
    one, other = embedded.only(half[embedded.labels]), embedded.only(~half[embedded.labels])
    score = score_of(fit_head(all_pairs(replace(one, score=np.negative))))
    return replace(one, score=score), replace(other, score=score)


def _checked(embedded: Embedded, planted: Planted) -> Health:
    references = [Reference(i, str(name)) for i, name in enumerate(planted.names.tolist())]
    rows = embedded.embeddings[planted.rows]
    return examine(references, rows, embedded.score, metric=embedded.metric, limit=len(rows))


def main() -> None:
    """Print a line for each kind of fault and size of gallery, means over draws."""
    asked = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    asked.add_argument("data", type=Path)
    asked.add_argument("--draws", type=int, default=6)
    options = asked.parse_args()
    with np.load(options.data, allow_pickle=False) as data:
        rows, labels = data["embeddings"], np.unique(data["identities"], return_inverse=True)[1]
    nobody = np.zeros(len(labels), np.int64)
    embedded = Embedded(rows, labels, nobody, nobody.astype(str), "cosine", np.negative)
    one, other = halves(embedded, seed=0)
    whole = replace(embedded, score=one.score)
    sizes = [size for size in (50, 100, 200, 400) if size <= whole.identities]
    draws = range(options.draws)
    for size in sizes:
        auc, precision, recall = np.mean(
            [wrong_names_found(whole, size, seed) for seed in draws], axis=0
        )
        _say(f"{size} identities, 5 % of names wrong: AUC {auc:.4f}", precision, recall)
    for who, these in (("all", whole), ("the other half", other)):
        for size in (50, 100, 200, 400):
            for splits in sorted({SPLIT, size // 10}):
                if size > these.identities:
                    continue
                found = [duplicates_found(these, size, seed, splits) for seed in draws]
                _say(f"{size} of {who}, {splits} under two names", *np.mean(found, axis=0))
    for size in sorted({min(size, other.identities) for size in (50, 100)}):
        drawn = [clusterings(one, other, size, seed) for seed in draws]
        told = ", ".join(f"{name} {np.mean([d[name] for d in drawn]):.3f}" for name in drawn[0])
        sys.stdout.write(f"{size} other identities × 20, ARI: {told}\n")
    for law in purity_laws(one, seed=0):
        asked_for = PurityLaw(**law.model_dump())
        for size in sorted({min(size, other.identities) for size in (20, 50, 100, 500)}):
            kept, agreement = np.mean(
                [
                    purity_kept(other, asked_for, size, samples, seed)
                    for samples in (5, 10)
                    for seed in draws
                ],
                axis=0,
            )
            sys.stdout.write(
                f"purity {law.purity:g} asked, {size} other identities: "
                f"kept {kept:.3f}, ARI {agreement:.3f}\n"
            )


def _say(what: str, precision: float, recall: float) -> None:
    sys.stdout.write(f"{what}, precision {precision:.2f}, recall {recall:.2f}\n")


if __name__ == "__main__":
    main()
