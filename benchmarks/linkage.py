"""`python -m benchmarks.linkage`: whether a secret rotation keeps two galleries from being linked.

Two galleries of the same unseen alphabets by `ink`, other drawings in each, are turned by a secret
orthogonal matrix each, which keeps every cosine within a gallery. A thief has both and no secret,
and says of each identity of the second which one of the first it is. Prints a table of how many
of the identities that are in both are said rightly, those that the thief knew not counted.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import ortho_group

from benchmarks.doubts import ROOT, characters
from index import Embeddings
from models_store import open_shelf

IN_BOTH = {"all": 1.0, "half": 0.5}
OWN = 32  # samples of the thief's own, enrolled in both
FRIENDS = 10  # identities that the thief knows to be the same in both
ROUNDS = 40
PROFILE = np.linspace(0, 1, 60) ** 0.5  # quantiles, more of the high ones


def main() -> None:
    """Turn, steal, link."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/omniglot")
    parser.add_argument("--identities", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=20, help="of galleries, seeds from 0")
    options = parser.parse_args()
    comparator = open_shelf(ROOT / "models_store/bundles", threads=1).comparators["ink@1"]
    everybody = np.stack(characters(comparator, options.data))  # (characters, drawings, d)
    print(
        "| samples each | in both | not turned | turned | … knows nothing "
        f"| … knows {FRIENDS} of them | … enrolled {OWN} samples |\n|---|---|---|---|---|---|---|"
    )
    for samples in (1, 5):
        for which, share in IN_BOTH.items():
            rngs = map(np.random.default_rng, range(options.pairs))
            linked = [_linked(everybody, options.identities, samples, share, r) for r in rngs]
            shares = " | ".join(f"{rate:.0%}" for rate in np.mean(linked, axis=0))
            print(f"| {samples} | {which} | {shares} |", flush=True)


def _linked(
    everybody: Embeddings, identities: int, samples: int, share: float, rng: np.random.Generator
) -> list[float]:
    """Return which share of a pair of galleries is linked, for each column of the table."""
    order, both = rng.permutation(len(everybody)), round(share * identities)
    drawn, d = rng.permutation(everybody.shape[1]), everybody.shape[2]
    of_b = np.concatenate([order[:both], order[identities : 2 * identities - both]])
    a = _means(everybody[order[:identities]][:, drawn[:samples]])
    b = _means(everybody[of_b][:, drawn[samples : 2 * samples]])
    own = everybody[order[-OWN:], drawn[-1]]
    secret_a, secret_b = (ortho_group.rvs(d, random_state=rng) for _ in range(2))
    turned_a, turned_b = a @ secret_a, b @ secret_b
    likest = _likest_profiles(turned_b, turned_a)
    friends = np.arange(FRIENDS)
    guesses = {
        "not turned": b @ a.T,
        "turned": turned_b @ turned_a.T,
        "knows nothing": _aligned(turned_b, turned_a, *likest),
        "knows some": _aligned(turned_b, turned_a, friends, friends, keep=True),
        "enrolled some": turned_b @ _turn(own @ secret_b, own @ secret_a) @ turned_a.T,
    }
    return [
        float((cosines.argmax(axis=1) == np.arange(len(b)))[slice(*asked)].mean())
        for way, cosines in guesses.items()
        for asked in [(FRIENDS if way == "knows some" else 0, both)]
    ]


def _means(samples: Embeddings) -> Embeddings:
    """Return the direction of each identity's samples (n, k, d): (n, d)."""
    found = samples.mean(axis=1)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _turn(x: Embeddings, y: Embeddings) -> Embeddings:
    """Return the orthogonal matrix that brings rows x nearest to rows y, by Procrustes."""
    u, _, v = np.linalg.svd(x.T @ y)
    return u @ v


def _likest_profiles(b: Embeddings, a: Embeddings) -> tuple[np.ndarray, np.ndarray]:
    """Pair identities by how far all others of their gallery are from them: no turn hides that."""
    profiles = [np.quantile(np.sort(x @ x.T)[:, :-1], PROFILE, axis=1).T for x in (b, a)]
    spread = np.std(np.concatenate(profiles), axis=0)
    of_b, of_a = (profile / spread for profile in profiles)
    return linear_sum_assignment(((of_b[:, None] - of_a[None]) ** 2).sum(axis=2))


def _aligned(
    b: Embeddings, a: Embeddings, of_b: np.ndarray, of_a: np.ndarray, *, keep: bool = False
) -> Embeddings:
    """Return cosines between galleries, turned again and again by who seems to be whom.

    The first pairs stay, if they are to be kept.
    """
    first_b, first_a = (of_b, of_a) if keep else (of_b[:0], of_a[:0])
    for _ in range(ROUNDS):
        cosines = b @ _turn(b[of_b], a[of_a]) @ a.T
        likest = cosines.argmax(axis=1)
        mutual = np.flatnonzero(cosines.argmax(axis=0)[likest] == np.arange(len(b)))
        of_b = np.concatenate([first_b, mutual])
        of_a = np.concatenate([first_a, likest[mutual]])
    return cosines


if __name__ == "__main__":
    main()
