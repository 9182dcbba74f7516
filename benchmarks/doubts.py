"""`python -m benchmarks.doubts`: how often an enrollment is doubted, honest ones and planted ones.

Galleries of real drawings by `ink`, of alphabets that it never saw. Prints a table.
"""

import argparse
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from index.doubts import Doubts
from index.faiss_gallery import FaissGallery
from index.gallery import Reference
from index.identification import Identifier
from models_store import Comparator, Sample, open_shelf

ROOT = Path(__file__).parent.parent
KINDS = {
    "honest, one more of an identity": "alarms",
    "honest, a new identity": "alarms",
    "planted, somebody enrolled under another's name": "caught",
    "planted, somebody enrolled under a new name": "caught",
    "planted, a stranger under an enrolled name": "caught",
}


def characters(comparator: Comparator, data: Path) -> list[np.ndarray]:
    """Return the embeddings of each unseen character's drawings, (20, d) each."""
    lines = (data / "alphabets.tsv").read_text().splitlines()[1:]
    held_out = {line.split("\t")[0] for line in lines if line.split("\t")[3] == "val"}
    found = defaultdict(list)
    with zipfile.ZipFile(data / "images_background.zip") as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".png") and name.split("/")[1] in held_out:
                found["/".join(name.split("/")[1:3])].append(
                    comparator.prepare(Sample(archive.read(name)))
                )
    return [comparator.embed(drawings) for drawings in found.values()]


def main() -> None:
    """Enroll, doubt, count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/omniglot")
    parser.add_argument("--identities", type=int, default=50)
    parser.add_argument("--galleries", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    comparator = open_shelf(ROOT / "models_store/bundles", threads=1).comparators["ink@1"]
    everybody = characters(comparator, options.data)
    print("| samples each | enrollment | doubted | n |\n|---|---|---|---|")
    for samples in (1, 3, 5):
        rng = np.random.default_rng(options.seed)
        counts: dict[str, list[bool]] = {kind: [] for kind in KINDS}
        for _ in range(options.galleries):
            _count(comparator, everybody, samples, options.identities, rng, counts)
        for kind, said in KINDS.items():
            rate = np.mean(counts[kind])
            print(f"| {samples} | {kind} | {rate:.1%} {said} | {len(counts[kind])} |")


def _count(
    comparator: Comparator,
    everybody: list[np.ndarray],
    samples: int,
    identities: int,
    rng: np.random.Generator,
    counts: dict[str, list[bool]],
) -> None:
    """Fill a gallery, and count what is doubted of one more sample of each kind."""
    order = rng.permutation(len(everybody))
    enrolled, strangers = order[:identities], order[identities : 2 * identities]
    index = Identifier(
        lambda: FaissGallery(comparator.manifest.dimension, comparator.manifest.distance),
        comparator.score,
        comparator.cohort,
        cohort_groups=comparator.cohort_groups,
    )
    drawn = {who: everybody[who][rng.permutation(len(everybody[who]))] for who in order}
    key = 0
    for who in enrolled:
        references = [Reference(key + i, str(who)) for i in range(samples)]
        index.enroll(references, drawn[who][:samples])
        key += samples

    def doubted(name: str, embedding: np.ndarray) -> bool:
        found: Doubts = index.doubts(name, embedding[None])
        return found.of(0) is not None

    others = rng.permutation(enrolled)
    more, new, under_other, under_new, stranger = KINDS
    for who, other, nobody in zip(enrolled, others, strangers, strict=True):
        one = drawn[who][-1]
        counts[more].append(doubted(str(who), one))
        counts[new].append(doubted("new", drawn[nobody][-1]))
        if other != who:
            counts[under_other].append(doubted(str(other), one))
        counts[under_new].append(doubted("new", one))
        counts[stranger].append(doubted(str(who), drawn[nobody][-2]))


if __name__ == "__main__":
    main()
