"""`python -m benchmarks.feedback`: what one rejection each does to look-alikes, and to owners.

Galleries of real drawings by `ink`, of alphabets that it never saw, judged by strangers of their
kind. A look-alike is a character that is not enrolled and is named by one of its drawings: this
one is rejected. Its other drawings that were named so are the repeats. Prints a table.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.doubts import ROOT, characters
from index import FaissGallery, Identification, Identifier, Reference
from models_store import Comparator, open_shelf


def main() -> None:
    """Enroll, be fooled, reject, ask again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/omniglot")
    parser.add_argument("--identities", type=int, nargs="+", default=[50, 100])
    parser.add_argument("--strangers", type=int, default=50, help="that judge a gallery")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--look-alikes", type=int, default=50)
    parser.add_argument("--target-fpir", type=float, default=0.05)
    options = parser.parse_args()
    comparator = open_shelf(ROOT / "models_store/bundles", threads=1).comparators["ink@1"]
    everybody = characters(comparator, options.data)
    print(
        "| enrolled in a gallery | galleries | look-alikes | repeats before | after | fall "
        "| owners' trials | FNIR before | after |\n|---|---|---|---|---|---|---|---|---|"
    )
    for identities in options.identities:
        counts = np.zeros(6, np.int64)
        seed = 0
        while counts[0] < options.look_alikes:
            rng = np.random.default_rng(seed)
            counts += _one_gallery(comparator, everybody, identities, options, rng)
            seed += 1
        found, before, after, trials, missed, missed_then = counts.tolist()
        print(
            f"| {identities} | {seed} | {found} | {before} | {after} | {1 - after / before:.1%} "
            f"| {trials} | {missed / trials:.1%} | {missed_then / trials:.1%} |"
        )


def _one_gallery(
    comparator: Comparator,
    everybody: list[np.ndarray],
    identities: int,
    options: argparse.Namespace,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return look-alikes, repeats before, after, owners' trials, and misses before, after."""
    order = rng.permutation(len(everybody))
    drawn = {who: everybody[who][rng.permutation(len(everybody[who]))] for who in order}
    enrolled, cohort, others = np.split(order, [identities, identities + options.strangers])
    index = Identifier(
        lambda: FaissGallery(comparator.manifest.dimension, comparator.manifest.distance),
        comparator.score,
        comparator.cohort,
        rule=comparator.manifest.calibration.rule,
    )
    index.replace_cohort(np.stack([drawn[who][0] for who in cohort]))
    for key, who in enumerate(enrolled):
        keys = range(options.samples * key, options.samples * (key + 1))
        index.enroll([Reference(k, str(who)) for k in keys], drawn[who][: options.samples])

    def asked(probes: np.ndarray) -> list[Identification]:
        return index.identify(probes, target_fpir=options.target_fpir, top=1, k=1)

    def missed() -> int:
        said = {str(who): asked(drawn[who][options.samples :]) for who in enrolled}
        return sum(each.identity != who for who, each_of in said.items() for each in each_of)

    missed_before = missed()
    rejections: dict[str, list[np.ndarray]] = {}
    repeats = []
    for who in others:
        named = [(i, each.identity) for i, each in enumerate(asked(drawn[who])) if each.identity]
        if named:
            first, whom = named[0]
            rejections.setdefault(whom, []).append(drawn[who][first])
            repeats.append((whom, drawn[who][[i for i, name in named[1:] if name == whom]]))
    index.reject({whom: np.stack(rows) for whom, rows in rejections.items()})
    again = sum(
        each.identity == whom for whom, probes in repeats if len(probes) for each in asked(probes)
    )
    trials = sum(len(drawn[who]) - options.samples for who in enrolled)
    before = sum(len(probes) for _, probes in repeats)
    return np.array([len(repeats), before, again, trials, missed_before, missed()])


if __name__ == "__main__":
    main()
