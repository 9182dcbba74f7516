"""The shipped comparator of words and pictures, through HTTP."""

import base64
import csv
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.services import ROOT, Service

SHIPPED = ROOT / "models_store" / "bundles"
COLOURS = ("red", "green", "blue", "yellow", "black")
BAR = 0.45
"""Recall at 10 among 147; chance is .07."""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("emoji") / "var", SHIPPED).start().wait_ready()
    with service.client() as client:
        yield client
    service.stop()


@pytest.fixture(scope="module")
def unseen(shared_data):
    """Emoji that nothing was learnt from: id → caption and picture, of one style."""
    folder = shared_data / "emoji"
    with (folder / "captions.tsv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    with zipfile.ZipFile(folder / "openmoji_color_72.zip") as archive:
        return {
            row["emoji_id"]: (
                row["caption"],
                archive.read(f"openmoji_color/{row['emoji_id']}.png"),
            )
            for row in rows
            if row["split"] == "val"
        }


def disc(colour: str) -> bytes:
    image = Image.new("RGB", (72, 72), "white")
    ImageDraw.Draw(image).ellipse((4, 4, 68, 68), fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def picture(content: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(content).decode(), "media_type": "image/png"}


def gallery(client, name, samples, references):
    asked = {"name": name, "comparator": "emoji", "references": references}
    assert client.post("/galleries", json=asked).status_code == 201
    lines = [json.dumps({"identity": identity} | one) for identity, one in samples.items()]
    answer = client.post(f"/enroll/bulk?gallery={name}", content="\n".join(lines))
    assert answer.text.count('"added"') == len(samples), answer.text[:1000]


def found_at(client, name, probes):
    """Return whom each identity's probe finds, best first, ten of them."""
    found = {}
    for start in range(0, len(probes), 50):
        some = dict(list(probes.items())[start : start + 50])
        body = {"gallery": name, "top": 10, "files": list(some.values())}
        answer = client.post("/identify", json=body)
        assert answer.status_code == 200, answer.text
        for identity, result in zip(some, answer.json()["results"], strict=True):
            found[identity] = [each["identity"] for each in result["candidates"]]
    return found


@pytest.mark.parametrize("references", ["b", "a"])
def test_unseen_emoji_are_found_in_either_direction(client, unseen, references):
    texts = {identity: {"text": caption} for identity, (caption, _) in unseen.items()}
    pictures = {identity: picture(content) for identity, (_, content) in unseen.items()}
    enrolled, probes = (pictures, texts) if references == "b" else (texts, pictures)
    gallery(client, f"unseen-{references}", enrolled, references)

    found = found_at(client, f"unseen-{references}", probes)

    assert np.mean([identity in listed for identity, listed in found.items()]) >= BAR


@pytest.mark.parametrize("references", ["b", "a"])
def test_drawn_discs_and_their_names_are_asked_by_each_other(client, references):
    """Pictures made here, so that this needs no data beside the checkout."""
    pictures = {colour: picture(disc(colour)) for colour in COLOURS}
    texts = {colour: {"text": f"{colour} circle"} for colour in COLOURS}
    enrolled, probes = (pictures, texts) if references == "b" else (texts, pictures)
    gallery(client, f"discs-{references}", enrolled, references)

    found = found_at(client, f"discs-{references}", probes)

    assert [sorted(listed) for listed in found.values()] == [sorted(COLOURS)] * len(COLOURS)


@pytest.mark.parametrize("references", ["b", "a"])
def test_an_answer_says_how_probable_each_is_and_nobody(client, references):
    pictures = {colour: picture(disc(colour)) for colour in COLOURS}
    texts = {colour: {"text": f"{colour} circle"} for colour in COLOURS}
    enrolled, probes = (pictures, texts) if references == "b" else (texts, pictures)
    gallery(client, f"stated-{references}", enrolled, references)

    body = {"gallery": f"stated-{references}", "top": 100, "files": list(probes.values())}
    results = client.post("/identify", json=body).json()["results"]

    for result in results:
        stated = [each["posterior"] for each in result["candidates"]]
        assert stated == sorted(stated, reverse=True)
        assert result["posterior"] == stated[0]
        assert sum(stated) + result["unknown_posterior"] == pytest.approx(1, abs=1e-6)


def test_the_wrong_side_is_told_what_it_takes(client):
    words, drawing = {"text": "red circle"}, picture(disc("red"))

    right = client.post("/verify", json={"comparator": "emoji", "a": words, "b": drawing})
    swapped = client.post("/verify", json={"comparator": "emoji", "a": drawing, "b": words})

    assert right.status_code == 200
    assert swapped.status_code == 422
    assert swapped.headers["content-type"] == "application/problem+json"
    assert client.get("/comparators/emoji").json()["modalities"] == {"a": "text", "b": "image"}
