"""What people look at of single pairs: two pictures, their score, and what it is worth."""

import io

from matplotlib.figure import Figure
from PIL import Image

from models_store.comparator import Comparator
from models_store.sample import Sample


def verdict(comparator: Comparator, score: float) -> str:
    """Return which operating points a score passes, in words."""
    passed = [p.fmr for p in comparator.manifest.operating_points if score >= p.threshold]
    if not passed:
        loosest = max(p.fmr for p in comparator.manifest.operating_points)
        return f"different, even where {loosest:.3g} of impostor pairs may pass"
    return f"same, where {min(passed):.3g} of impostor pairs may pass"


def side_by_side(comparator: Comparator, a: bytes, b: bytes) -> tuple[float, bytes]:
    """Return the score of two pictures, and a PNG of both with score and verdict.

    Raises WrongModality, Undecodable, SampleOutOfBounds or Degenerate.
    """
    left = comparator.embed([comparator.prepare(Sample(a, "image"), "a")], "a")
    right = comparator.embed([comparator.prepare(Sample(b, "image"), "b")], "b")
    score = float(comparator.score(comparator.distance(left, right))[0])
    figure = Figure(figsize=(5, 3), layout="constrained")
    figure.suptitle(f"score {score:.3f}: {verdict(comparator, score)}", fontsize=9)
    for axes, content in zip(figure.subplots(1, 2), (a, b), strict=True):
        axes.imshow(Image.open(io.BytesIO(content)).convert("RGB"))
        axes.axis("off")
    written = io.BytesIO()
    figure.savefig(written, dpi=120, metadata={"Software": None})
    return score, written.getvalue()
