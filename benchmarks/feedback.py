"""`python -m benchmarks.feedback`: what one rejection each does to look-alikes, and to owners.

Galleries of real drawings by `ink`, of alphabets that it never saw, judged by strangers of their
kind. A look-alike is a character that is not enrolled and is named by one of its drawings: this
one is rejected. Its other drawings that were named so are the repeats. Prints a table.

A second table says how far any rule is from telling them apart: a probe is judged by its distance
to the mean of the identity's samples and to that of so many drawings of the look-alike, in units
of what samples of one identity differ by (Mahalanobis, by the gallery's own scatter, three tenths
of it made spherical), and the threshold is chosen afterwards on the very repeats.
"""

import argparse
from dataclasses import dataclass
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
    contests: dict[int, list[Contest]] = {}
    for identities in options.identities:
        counts = np.zeros(6, np.int64)
        seed, contests[identities] = 0, []
        while counts[0] < options.look_alikes:
            rng = np.random.default_rng(seed)
            more, contest = _one_gallery(comparator, everybody, identities, options, rng)
            counts += more
            contests[identities].append(contest)
            seed += 1
        found, before, after, trials, missed, missed_then = counts.tolist()
        print(
            f"| {identities} | {seed} | {found} | {before} | {after} | {1 - after / before:.1%} "
            f"| {trials} | {missed / trials:.1%} | {missed_then / trials:.1%} |"
        )
    print(
        "\n| enrolled in a gallery | drawings of the look-alike known | FNIR more, repeats 90 % "
        "fewer | repeats fewer, FNIR 1 point more |\n|---|---|---|---|"
    )
    for identities, those in contests.items():
        for known in (1, 5, 19):
            cost, gain = _limits(those, known)
            print(f"| {identities} | {known} | {cost:.1%} | {gain:.1%} |")


@dataclass
class Contest:
    """What a gallery's rejections have to tell apart.

    `own` are the samples (m, d) of each identity, `accepted` its probes that are named so, and
    `repeats` those of each look-alike. `drawings` of a look-alike begin with the rejected one.
    """

    own: dict[str, np.ndarray]
    accepted: dict[str, np.ndarray]
    look_alikes: list[tuple[str, np.ndarray, np.ndarray]]  # whom, drawings, repeats
    trials: int


def _limits(contests: list[Contest], known: int) -> tuple[float, float]:
    """Return what 90 % fewer repeats cost in FNIR, and how many fewer a point of FNIR buys."""
    repeats, owners, trials = [], [], 0
    for contest in contests:
        trials += contest.trials
        apart = np.concatenate([rows - rows.mean(axis=0) for rows in contest.own.values()])
        scatter = apart.T @ apart / len(apart)
        dimension = len(scatter)
        sphere = np.trace(scatter) / dimension * np.eye(dimension)
        precision = np.linalg.inv(0.7 * scatter + 0.3 * sphere)

        def nearer(
            probe: np.ndarray, whom: str, here: Contest = contest, by: np.ndarray = precision
        ) -> float:
            """How much nearer a probe is to the nearest look-alike of somebody than to them."""

            def far(rows: np.ndarray, most: int | None = None) -> float:
                others = rows[(rows != probe).any(axis=1)][:most]
                off = probe - others.mean(axis=0)
                return float(off @ by @ off) * len(others) / (len(others) + 1)

            alike = (far(rows, known) for name, rows, _ in here.look_alikes if name == whom)
            return far(here.own[whom]) - min(alike)

        repeats += [nearer(p, whom) for whom, _, rows in contest.look_alikes for p in rows]
        rejected = {whom for whom, _, _ in contest.look_alikes}
        owners += [nearer(p, whom) for whom in sorted(rejected) for p in contest.accepted[whom]]
    falling = np.sort(owners)[::-1]
    at = np.quantile(repeats, 0.1)
    allowed = falling[min(int(0.01 * trials), len(falling) - 1)]
    return float((falling >= at).sum() / trials), float((np.array(repeats) > allowed).mean())


def _one_gallery(
    comparator: Comparator,
    everybody: list[np.ndarray],
    identities: int,
    options: argparse.Namespace,
    rng: np.random.Generator,
) -> tuple[np.ndarray, Contest]:
    """Return look-alikes, repeats before, after, owners' trials, misses before, after; and who."""
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
    contest = Contest({}, {}, [], len(enrolled) * (len(everybody[0]) - options.samples))
    for who in enrolled:
        probes = drawn[who][options.samples :]
        named_so = [each.identity == str(who) for each in asked(probes)]
        contest.own[str(who)] = drawn[who][: options.samples]
        contest.accepted[str(who)] = probes[named_so]
    rejections: dict[str, list[np.ndarray]] = {}
    repeats = []
    for who in others:
        named = [(i, each.identity) for i, each in enumerate(asked(drawn[who])) if each.identity]
        if named:
            first, whom = named[0]
            rejections.setdefault(whom, []).append(drawn[who][first])
            repeats.append((whom, drawn[who][[i for i, name in named[1:] if name == whom]]))
            rejected_first = np.roll(drawn[who], -first, axis=0)
            contest.look_alikes.append((whom, rejected_first, repeats[-1][1]))
    index.reject({whom: np.stack(rows) for whom, rows in rejections.items()})
    again = sum(
        each.identity == whom for whom, probes in repeats if len(probes) for each in asked(probes)
    )
    trials = sum(len(drawn[who]) - options.samples for who in enrolled)
    before = sum(len(probes) for _, probes in repeats)
    counts = np.array([len(repeats), before, again, trials, missed_before, missed()])
    return counts, contest


if __name__ == "__main__":
    main()
