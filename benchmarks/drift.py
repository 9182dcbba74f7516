"""python -m benchmarks.drift OMNIGLOT: how often windows of `ink@1` cross their drift limit.

OMNIGLOT is a folder with images_background.zip. Galleries are of characters drawn at random, one
drawing each; half of the probes are of these characters, half of any others.
"""

import argparse
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from index import Scores, drift
from models_store import Comparator, Sample, open_bundle
from service.watching.drift import WINDOW
from tests.services import ROOT

DRAWINGS = 4000
WINDOWS = 200
GALLERIES = (0, 10, 20, 50, 150, 400)
BLURS = (2, 3, 4, 6)  # standard deviations in pixels, of 105


def scores(comparator: Comparator, drawings: list[bytes]) -> Scores:
    """Return the best score of each drawing against the bundle's strangers."""
    samples = [Sample(content) for content in drawings]
    embeddings = np.concatenate(
        [
            comparator.embed([comparator.prepare(one) for one in samples[start : start + 64]])
            for start in range(0, len(samples), 64)
        ]
    )
    return best(comparator, embeddings)


def best(comparator: Comparator, embeddings: np.ndarray, *, themselves: bool = False) -> Scores:
    metric = comparator.manifest.distance
    return drift.best_scores(
        embeddings, comparator.cohort, comparator.score, metric, themselves=themselves
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
    folder = parser.parse_args().omniglot
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "images_background.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        chosen = rng.choice(names, DRAWINGS, replace=False)
        drawings = [archive.read(name) for name in chosen]
    characters = np.array([name.rpartition("/")[0] for name in chosen])
    comparator = open_bundle(ROOT / "models_store/bundles/ink/1", threads=1)
    bundled = best(comparator, comparator.cohort, themselves=True)
    by_blur = {0: scores(comparator, drawings)}
    by_blur |= {r: scores(comparator, list(map(blur(r), drawings))) for r in BLURS}

    print(f"Share of {WINDOWS} windows of {WINDOW} probes over their limit, by blur (pixels)\n")
    print("| enrolled | limit | clean | " + " | ".join(f"{r}" for r in BLURS) + " |")
    print("|---|---|---|" + "---|" * len(BLURS))
    for size in GALLERIES:
        crossed = dict.fromkeys(by_blur, 0)
        limit = drift.no_drift_limit(size or len(bundled), WINDOW)
        for _ in range(WINDOWS):
            known = rng.choice(np.unique(characters), size, replace=False)
            theirs = rng.permutation(np.flatnonzero(np.isin(characters, known)))
            others = np.flatnonzero(~np.isin(characters, known))
            _, first = np.unique(characters[theirs], return_index=True)
            reference = by_blur[0][theirs[first]] if size else bundled
            theirs = np.delete(theirs, first)
            share = WINDOW // 2 if size else 0
            probes = np.concatenate(
                [rng.choice(theirs, share), rng.choice(others, WINDOW - share)]
            )
            for r, found in by_blur.items():
                places = drift.places(found[probes], reference, rng)
                crossed[r] += drift.stability_index(places) > limit
        shares = " | ".join(f"{count / WINDOWS:.3f}" for count in crossed.values())
        print(f"| {size} | {limit:.2f} | {shares} |")


if __name__ == "__main__":
    main()
