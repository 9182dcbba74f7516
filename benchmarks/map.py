"""How long a map takes, one JSON line a step: `python -m benchmarks.map`.

A gallery of samples that lie around a centre for each identity is enrolled in a real service, and
its map asked for until it is done. `first` is the answer by principal axes; `done` the one by
t-SNE, with the share of the ten nearest on the plane that are of the same identity in both.
`identify` is asked all the while, one at a time, and before, with nothing else to do. `redraw` is
the console's own drawing of 100,000 points in an installed browser, where there is one.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from scipy.spatial import cKDTree

from kindred import Client
from tests.browser import opened
from tests.bundles import make_bundle
from tests.drawings import draw, part
from tests.services import Service

NEAREST = 10
PAUSE = 0.05  # seconds between two of them while there is one
QUIET = 3.0  # seconds of identifying before there is a map to make
REDRAW = """async ({ count, repeats, width, height }) => {
  const { SHAPES, inside, nearest, paint, radiusOf, whole } = await import("/console/canvas.js");
  const normal = () => Math.random() + Math.random() + Math.random() - 1.5;
  const each = (type, of) => type.from({ length: count }, of);
  const points = {
    x: each(Float32Array, normal), y: each(Float32Array, normal),
    style: each(Uint16Array, (_, i) => i % 48), chosen: each(Uint8Array, (_, i) => i % 100 === 0),
  };
  const looks = {
    styles: Array.from({ length: 48 }, (_, i) => ({ colour: i, shape: SHAPES[i % 6] })),
    links: Array.from({ length: 2000 }, (_, i) => [i, i + 1]),
    paper: 0xffffffff, ink: 0xff000000, line: 0xff888888, radius: radiusOf(count, width, height),
  };
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer), view = whole(points, width, height);
  const median = (task) => Array.from({ length: repeats }, () => {
    const started = performance.now();
    task();
    return performance.now() - started;
  }).sort((a, b) => a - b)[repeats >> 1];
  return {
    redraw_ms: median(() => {
      paint(pixels, width, height, points, view, looks);
      context.putImageData(image, 0, 0);
    }),
    lasso_ms: median(() => inside(points, view, width, height, [[9, 9], [500, 120], [450, 500]])),
    nearest_ms: median(() => nearest(points, view, width, height, [450, 300], 10)),
  };
}"""
SCREEN = {"width": 900, "height": 600, "repeats": 30}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--each", type=int, default=10, help="samples of one identity")
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kindred-map-") as folder:
        root = Path(folder)
        make_bundle(root / "bundles", dimension=asked.dimension, cohort=400)
        service = Service(root / "var", root / "bundles", map_samples=asked.samples)
        service.start(timeout=300).wait_ready()
        try:
            _fill(service.url, asked)
            _measure(service.url, asked)
            _redraw(service.url, asked)
        finally:
            service.stop()


def _fill(url: str, asked: argparse.Namespace) -> None:
    rng = np.random.default_rng(asked.seed)
    centres = rng.normal(size=(asked.samples // asked.each, asked.dimension))
    rows = np.repeat(centres, asked.each, axis=0)
    rows += 0.5 * rng.normal(size=rows.shape)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with Client(url) as client:
        items = ((f"id-{i // asked.each}", row) for i, row in enumerate(rows.astype(np.float32)))
        started = time.perf_counter()
        count = sum(line.outcome == "added" for line in client.enroll_many(items))
    _tell("enrolled", samples=count, seconds=time.perf_counter() - started)


def _measure(url: str, asked: argparse.Namespace) -> None:
    with httpx.Client(base_url=url, timeout=120) as client:
        quiet: list[float] = []
        until = time.perf_counter() + QUIET
        while time.perf_counter() < until:
            quiet.append(_identified(client))
        _tell("identify, quiet", **_quantiles(quiet))

        started = time.perf_counter()
        first = client.get("/galleries/default/map").json()
        _tell(
            "first",
            seconds=time.perf_counter() - started,
            layout=first["layout"],
            samples=len(first["samples"]),
            of=first["enrolled_samples"],
            agreement=_agreement(first),
        )
        busy: list[float] = []
        while (found := client.get("/galleries/default/map").json())["progress"] < 1:
            until = time.perf_counter() + 0.5
            while time.perf_counter() < until:
                busy.append(_identified(client))
                time.sleep(PAUSE)
        _tell(
            "done",
            seconds=time.perf_counter() - started,
            layout=found["layout"],
            reason=found["reason"],
            links=found["linked"],
            agreement=_agreement(found),
        )
        _tell("identify, meanwhile", **_quantiles(busy))
        started = time.perf_counter()
        size = len(client.get("/galleries/default/map").content)
        _tell("asked again", seconds=time.perf_counter() - started, bytes=size)


def _identified(client: httpx.Client) -> float:
    started = time.perf_counter()
    client.post("/identify", files=[part(draw(1))]).raise_for_status()
    return time.perf_counter() - started


def _quantiles(seconds: list[float]) -> dict[str, float]:
    ms = np.array(seconds) * 1000
    return {"n": len(ms), "p50_ms": float(np.median(ms)), "p99_ms": float(np.quantile(ms, 0.99))}


def _agreement(found: dict[str, Any]) -> float:
    """Return the share of each point's nearest that are of its own identity."""
    plane = np.stack([found["x"], found["y"]], axis=1)
    names = np.unique(found["identities"], return_inverse=True)[1]
    near = cKDTree(plane).query(plane, NEAREST)[1][:, 1:]
    return float((names[near] == names[:, None]).mean())


def _redraw(url: str, asked: argparse.Namespace) -> None:
    try:
        with opened(f"{url}/console/") as tab:
            found = tab.page.evaluate(REDRAW, SCREEN | {"count": asked.points})
            _tell("redraw", points=asked.points, **found)
    except pytest.skip.Exception as why:
        _tell("redraw", skipped=str(why))


def _tell(what: str, **more: Any) -> None:
    rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in more.items()}
    print(json.dumps({"what": what} | rounded), flush=True)


if __name__ == "__main__":
    main()
