"""python -m benchmarks.drift OMNIGLOT: how often windows of `ink@1` cross their drift limit.

OMNIGLOT is a folder with images_background.zip. Galleries are of characters drawn at random, one
drawing each; half of the probes are of these characters, half of any others. A window is the first
that a gallery sees, or follows a clean one.
"""

import argparse
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from index import Embeddings
from models_store import Comparator, Sample, open_bundle
from service.watching.drift import WINDOW, Drift
from tests.replicas import replica
from tests.services import ROOT

CHARACTERS = 500
GALLERIES = (0, 5, 10, 20, 50, 150, 400)
AGAIN = 40  # galleries of each size
BLURS = (2, 3, 4, 6)  # standard deviations in pixels, of 105


def embedded(comparator: Comparator, drawings: list[bytes]) -> Embeddings:
    """Return the embeddings (n, d) of drawings."""
    samples = [Sample(content) for content in drawings]
    return np.concatenate(
        [
            comparator.embed([comparator.prepare(one) for one in samples[start : start + 64]])
            for start in range(0, len(samples), 64)
        ]
    )


def blur(radius: float) -> Callable[[bytes], bytes]:
    def blurred(content: bytes) -> bytes:
        buffer = io.BytesIO()
        picture = Image.open(io.BytesIO(content)).convert("L")
        picture.filter(ImageFilter.GaussianBlur(radius)).save(buffer, "PNG")
        return buffer.getvalue()

    return blurred


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("omniglot", type=Path)
    parser.add_argument("--again", type=int, default=AGAIN, help="galleries of each size")
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(asked.omniglot / "images_background.zip") as archive:
        names = np.array(sorted(name for name in archive.namelist() if name.endswith(".png")))
        folders = np.array([name.rpartition("/")[0] for name in names])
        chosen = np.isin(folders, rng.choice(np.unique(folders), CHARACTERS, replace=False))
        characters, drawings = folders[chosen], [archive.read(name) for name in names[chosen]]
    comparator = open_bundle(ROOT / "models_store/bundles/ink/1", threads=1)
    by_blur = {0: embedded(comparator, drawings)}
    by_blur |= {r: embedded(comparator, list(map(blur(r), drawings))) for r in BLURS}

    print(
        f"Share of {asked.again} windows of {WINDOW} probes over their limit, by blur (pixels)\n"
    )
    print("| enrolled | window | limit | clean | " + " | ".join(f"{r}" for r in BLURS) + " |")
    print("|---|---|---|---|" + "---|" * len(BLURS))
    for size in GALLERIES:
        crossed = {window: dict.fromkeys(by_blur, 0) for window in ("first", "later")}
        limits: dict[str, list[float]] = {"first": [], "later": []}
        for _ in range(asked.again):
            known = rng.choice(np.unique(characters), size, replace=False)
            theirs = rng.permutation(np.flatnonzero(np.isin(characters, known)))
            others = np.flatnonzero(~np.isin(characters, known))
            _, first = np.unique(characters[theirs], return_index=True)
            gallery = replica(comparator, enrolled=by_blur[0][theirs[first]])
            theirs = np.delete(theirs, first)

            def window(of: int, theirs=theirs, others=others) -> Embeddings:
                share = WINDOW // 2 if len(theirs) else 0
                probes = np.concatenate(
                    [rng.choice(theirs, share), rng.choice(others, WINDOW - share)]
                )
                return by_blur[of][rng.permutation(probes)]

            for r in by_blur:
                for when in crossed:
                    watched = Drift([comparator])
                    if when == "later":
                        watched.watch(gallery, window(0))
                        watched.shifts()
                    watched.watch(gallery, window(r))
                    [shift] = watched.shifts()
                    crossed[when][r] += shift.index > shift.limit
                    limits[when].append(shift.limit)
        for when, counts in crossed.items():
            shares = " | ".join(f"{count / asked.again:.3f}" for count in counts.values())
            print(f"| {size} | {when} | {np.median(limits[when]):.2f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
