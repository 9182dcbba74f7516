"""What is shown again of a sample that a gallery keeps."""

import io

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.drawings import as_json, draw, part, png
from tests.refusals import assert_refused
from tests.sounds import encoded, voice

SECRET = b"taken-at-home"


@pytest.fixture
def keeping(to_all_kinds, request):
    """A gallery that keeps samples, by its comparator."""
    made = []

    def make(comparator):
        name = f"p{abs(hash(request.node.nodeid)) % 10**12}"
        fields = {"name": name, "comparator": comparator, "keep_samples": True}
        assert to_all_kinds.post("/galleries", json=fields).status_code == 201
        made.append(name)
        return name

    yield make
    for name in made:
        to_all_kinds.delete(f"/galleries/{name}")


def preview(client, gallery, identity="ada", sample=1):
    return client.get(f"/galleries/{gallery}/identities/{identity}/samples/{sample}/preview")


def assert_only_shown(answer):
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["cache-control"] == "no-store"


def with_metadata(character):
    """A drawing of 300 pixels with a text, a comment and a colour profile."""
    info = PngInfo()
    info.add_text("Comment", SECRET.decode())
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(draw(character))) as small:
        large = small.resize((300, 200))
        large.save(buffer, "PNG", pnginfo=info, icc_profile=SECRET)
    return buffer.getvalue()


def test_a_picture_is_made_anew_small_and_without_what_else_was_in_the_file(to_all_kinds, keeping):
    gallery = keeping("tiny")
    sent = with_metadata(1)
    fields = {"gallery": gallery, "identity": "ada"}
    assert to_all_kinds.post("/enroll", data=fields, files=[part(sent)]).status_code == 201

    answer = preview(to_all_kinds, gallery)

    assert answer.headers["content-type"] == "image/png"
    assert_only_shown(answer)
    with Image.open(io.BytesIO(answer.content)) as shown:
        assert (shown.format, shown.size) == ("PNG", (160, 107))
        assert set(shown.info) == set()
    assert SECRET in sent
    assert SECRET not in answer.content


def test_of_a_text_its_text_is_shown_and_never_as_a_page(to_all_kinds, keeping):
    gallery = keeping("words")
    text = "<script>alert(1)</script> ünï"
    body = {"gallery": gallery, "identity": "ada", "files": [{"text": text}]}
    assert to_all_kinds.post("/enroll", json=body).status_code == 201

    answer = preview(to_all_kinds, gallery)

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == text
    assert_only_shown(answer)


def test_of_a_sound_its_loudness_is_drawn(to_all_kinds, keeping):
    gallery = keeping("sounds")
    clip = encoded(np.concatenate([np.zeros(8000, np.float32), voice(1, seconds=0.5)]))
    files = [("files", ("clip.wav", clip, "audio/wav"))]
    fields = {"gallery": gallery, "identity": "ada"}
    assert to_all_kinds.post("/enroll", data=fields, files=files).status_code == 201

    answer = preview(to_all_kinds, gallery)

    with Image.open(io.BytesIO(answer.content)) as shown:
        inked = (np.asarray(shown.convert("L")) < 128).sum(axis=0)
    assert (inked[:70] <= 4).all()
    assert inked[90:].mean() > 20


def test_what_is_not_kept_is_told_so_and_what_is_not_there_otherwise(to_all_kinds, keeping):
    gallery = keeping("tiny")
    kept = {"gallery": gallery, "identity": "ada", "files": [as_json(draw(1))]}
    to_all_kinds.post("/enroll", json=kept)
    unit = np.eye(32)[0].tolist()
    bare = {"gallery": gallery, "identity": "bare", "files": [{"embedding": unit}]}
    assert to_all_kinds.post("/enroll", json=bare).status_code == 201

    assert_refused(preview(to_all_kinds, gallery, "bare", 2), 404, "sample-not-kept")
    assert_refused(preview(to_all_kinds, gallery, "ada", 2), 404, "not-found")
    assert_refused(preview(to_all_kinds, gallery, "nobody", 1), 404, "not-found")
    assert_refused(preview(to_all_kinds, gallery, "ada", "x"), 422, "invalid-parameter")
    to_all_kinds.delete(f"/galleries/{gallery}/identities/ada/samples/1")
    assert_refused(preview(to_all_kinds, gallery, "ada", 1), 404, "not-found")


def test_a_sample_that_was_merged_is_shown_with_whom_it_is_now(to_all_kinds, keeping):
    gallery = keeping("tiny")
    for i, name in enumerate(("ada", "bea")):
        fields = {"gallery": gallery, "identity": name}
        to_all_kinds.post(
            "/enroll", data=fields, files=[part(png(np.full((12, 12), 99 * i, "u1")))]
        )
    before = preview(to_all_kinds, gallery, "bea", 2).content

    to_all_kinds.post(f"/galleries/{gallery}/merge", json={"from": "bea", "into": "ada"})

    assert preview(to_all_kinds, gallery, "ada", 2).content == before
