"""Who wants a template out of the service's answers: scores give it away, decisions should not.

The template is a unit vector, and the attacker can compute the embedding of any image. Score by
score it is a system of linear equations (arXiv 1901.09769). A decision says on which side of a
plane the template lies: he keeps the likeliest template given all of them, and as soon as a probe
was near enough he asks where the answer is most in doubt.

`python -m tests.score_attack --answers 10 30 100` says what he has after so many such answers.
"""

import argparse
import io
import json
import tempfile
from pathlib import Path

import httpx
import numpy as np
import onnx
from onnx import numpy_helper
from PIL import Image
from scipy.stats import norm

from tests.bundles import make_bundle
from tests.drawings import draw, part, png
from tests.keys import bearing, entry, write
from tests.services import Service

DIMENSION = 128
QUERIES = 256
TARGET_FPIR = 0.1  # the most telling of the rates that a key of role `decide` may ask for
WEIGHT, BIAS = 6.0, 3.0  # of the bundle's head
WIDTH = DIMENSION**-0.5  # of the distribution of the cosine of a random direction


class Encoder:
    """The bundle's, as the attacker has it: he makes an image of whatever embedding he likes."""

    def __init__(self, bundle: Path) -> None:
        constants = onnx.load(bundle / "encoder.onnx").graph.initializer
        matrices = {c.name: numpy_helper.to_array(c) for c in constants}
        self._matrix = matrices["matrix"].astype(np.float64)
        self._inverse = np.linalg.pinv(self._matrix)

    def image_of(self, direction: np.ndarray) -> tuple[bytes, np.ndarray]:
        """Return a PNG whose embedding is (nearly) this direction, and its embedding exactly."""
        ink = direction @ self._inverse
        pixels = np.rint(255 * (0.5 - 0.5 * ink / np.abs(ink).max())).astype(np.uint8)
        return png(pixels.reshape(12, 12)), self.embed(pixels)

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        return unit((1 - pixels.ravel() / 255) @ self._matrix)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def by_scores(client: httpx.Client, gallery: str, encoder: Encoder, seed: int) -> np.ndarray:
    """Return the template, from one request's scores rounded to two decimals."""
    rng = np.random.default_rng(seed)
    images, probes = zip(
        *(encoder.image_of(rng.normal(size=DIMENSION)) for _ in range(QUERIES)), strict=True
    )
    answer = client.post("/identify", data={"gallery": gallery}, files=[part(i) for i in images])
    scores = [round(result["score"], 2) for result in answer.json()["results"]]
    scores = np.clip(scores, 0.005, 0.995)
    cosines = 1 - (BIAS - np.log(scores / (1 - scores))) / WEIGHT
    return unit(np.linalg.lstsq(np.array(probes), cosines, rcond=None)[0])


def by_decisions(
    client: httpx.Client, gallery: str, encoder: Encoder, seed: int
) -> tuple[np.ndarray, int]:
    """Return what the decisions say of the template, and how many there were until they ended."""
    rng = np.random.default_rng(seed)
    probes, near, threshold = [], [], 0.0
    guess, refused = None, 0
    for _ in range(QUERIES):
        image, probe = encoder.image_of(_next(guess, threshold, rng))
        fields = {"gallery": gallery, "target_fpir": str(TARGET_FPIR)}
        answer = client.post("/identify", data=fields, files=[part(image)])
        if answer.status_code == 429:
            refused += 1
            if refused == 2 * QUERIES // 16:
                break
            continue
        result = answer.raise_for_status().json()["results"][0]
        asked = result["threshold"]
        threshold = 1 - (BIAS - np.log(asked / (1 - asked))) / WEIGHT
        probes.append(probe)
        near.append(result["outcome"] == "match")
        if any(near):
            guess = _likeliest(np.array(probes), np.array(near), threshold)
    if guess is None:  # only that it is like none of them
        guess = -np.sum(probes, axis=0)
    return unit(guess), len(probes)


def _next(guess: np.ndarray | None, threshold: float, rng: np.random.Generator) -> np.ndarray:
    """Return a random direction, or one of which it is even odds that it is near enough."""
    random = unit(rng.normal(size=DIMENSION))
    if guess is None:
        return random
    length = np.linalg.norm(guess)
    towards = guess / length
    random = unit(random - random @ towards * towards)
    share = min(0.95, threshold / max(length, 1e-3))
    return share * towards + np.sqrt(1 - share**2) * random


def _likeliest(probes: np.ndarray, near: np.ndarray, threshold: float) -> np.ndarray:
    """Return the likeliest template: normal before anything is known, probit in each answer."""
    guess, sides = np.zeros(DIMENSION), np.where(near, 1.0, -1.0)
    for _ in range(100):
        margins = sides * (probes @ guess - threshold) / WIDTH
        pull = sides * np.exp(norm.logpdf(margins) - norm.logcdf(margins)) / WIDTH
        step = WIDTH**2 * (probes.T @ pull) - guess
        guess = guess + 0.2 * step
    return guess


def attacked(folder: Path, victims: int, limits: dict[str, int]) -> dict[str, list[float]]:
    """Return the cosine of what was recovered with the template, by key and victim.

    `limits` are keys of role `decide` with the uncertain answers that each may have; `default`
    has what the settings say. Under `scores` a key of role `read` has gone by scores.
    """
    bundle = make_bundle(folder / "bundles", cohort=400, dimension=DIMENSION)
    encoder = Encoder(bundle)
    decide = [
        entry(name, "decide", **({} if name == "default" else {"probes_per_identity": limit}))
        for name, limit in limits.items()
    ]
    keys = write(
        folder / "keys.toml", entry("root", "administer"), entry("scores", "read"), *decide
    )
    service = Service(folder / "var", folder / "bundles", keys_file=keys).start().wait_ready()
    found: dict[str, list[float]] = {name: [] for name in ("scores", *limits)}
    try:
        with service.client() as client:
            for victim in range(victims):
                for name in found:
                    gallery = f"{name}-{victim}"  # counts are those of an identity, not of a key
                    client.headers = bearing("root")
                    client.post("/galleries", json={"name": gallery}).raise_for_status()
                    fields = {"gallery": gallery, "identity": "victim"}
                    drawing = draw(500 + victim)
                    client.post("/enroll", data=fields, files=[part(drawing)]).raise_for_status()
                    client.headers = bearing(name)
                    if name == "scores":
                        guess = by_scores(client, gallery, encoder, victim)
                    else:
                        guess, _ = by_decisions(client, gallery, encoder, victim)
                    found[name].append(float(guess @ _template(encoder, drawing)))
    finally:
        service.stop()
    return found


def _template(encoder: Encoder, drawing: bytes) -> np.ndarray:
    return encoder.embed(np.asarray(Image.open(io.BytesIO(drawing))))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--answers", type=int, nargs="+", default=[10, 30, 100])
    parser.add_argument("--victims", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        limits = {f"decisions-{limit}": limit for limit in asked.answers}
        cosines = attacked(Path(folder), asked.victims, limits)
    for name, each in cosines.items():
        line = {"what": name, "victims": len(each), "mean_cosine": round(np.mean(each), 3)}
        print(json.dumps(line | {"most": round(max(each), 3)}))
