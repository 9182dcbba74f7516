"""Pictures of the console, for docs: `python -m tests.journeys.screenshots`."""

import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from tests.browser import choose, opened, press, show, status
from tests.services import ROOT, Service

FOLDER = ROOT / "docs" / "pictures"
DRAWINGS = ROOT / "kindred" / "drawings"
LETTERS = "letters"
SIZE = {"width": 1000, "height": 760}
MARGIN = 4  # pixels below it
TRIALS = {
    "match": "An enrolled letter, by another hand",
    "unknown": "A letter that nobody enrolled",
}


def main(folder: Path) -> None:
    """Serve the shipped bundles to a browser, walk through the console, and keep pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        service = Service(Path(place) / "var", ROOT / "models_store" / "bundles")
        service.start(timeout=300).wait_ready(120)
        try:
            with opened(f"{service.url}/console/", viewport=SIZE) as tab:
                _walk(tab.page, service, folder)
                tab.demand_quiet()
        finally:
            service.stop()


def _walk(page: Any, service: Service, folder: Path) -> None:
    press(page, "Begin with 20 sample drawings")
    press(page, "Enroll 20 samples of 10 identities")
    status(page, "Enrolled")
    press(page, "Ask whose another drawing is")
    for outcome, words in TRIALS.items():
        press(page, words)
        status(page, outcome.title())
        _keep(page, folder / f"identify-{outcome}.webp")
    _enroll_letters(service)
    show(page, "Overview")  # which looks again at what there is
    show(page, "Threshold")
    choose(page, LETTERS)
    near = page.get_by_role("region", name="Nearest to the threshold")
    near.locator("img").first.wait_for()
    _keep(page, folder / "threshold.webp")
    show(page, "Map")
    choose(page, LETTERS)
    page.get_by_role("status").filter(has_text="Laid out by neighbours.").wait_for()
    _keep(page, folder / "map.webp", down_to=page.locator(".map"))
    show(page, "Live")
    paths = sorted(DRAWINGS.glob("*/*.png"))
    with service.client() as client:
        for turn in range(12):
            page.get_by_text(re.compile(rf"Read {turn + 1} times?\.")).wait_for()
            for path in paths[turn % 5 :: 2 + turn % 3]:
                client.post("/identify", files=[("files", path.read_bytes())]).raise_for_status()
    page.get_by_text("Read 14 times.").wait_for()
    _keep(page, folder / "live.webp", down_to=page.locator(".plots"))


def _enroll_letters(service: Service) -> None:
    """Have a gallery of all the drawings, which keeps them."""
    with service.client() as client:
        made = client.post("/galleries", json={"name": LETTERS, "keep_samples": True})
        made.raise_for_status()
        for letter in sorted(DRAWINGS.glob("greek-*")):
            files = [("files", path.read_bytes()) for path in sorted(letter.glob("*.png"))]
            fields = {"gallery": LETTERS, "identity": letter.name}
            client.post("/enroll", data=fields, files=files).raise_for_status()


def _keep(page: Any, path: Path, *, down_to: Any = None) -> None:
    """Keep a picture of the page from its top: all of it, or as far down as a part of it goes."""
    page.wait_for_load_state("networkidle")
    page.mouse.move(0, 0)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    if down_to is not None:
        box = down_to.bounding_box()
        bottom = box["y"] + box["height"] + page.evaluate("scrollY") + MARGIN
        picture = picture.crop((0, 0, picture.width, min(picture.height, round(bottom))))
    picture.save(path, lossless=True, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
