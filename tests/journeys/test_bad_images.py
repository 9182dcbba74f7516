"""Pictures that cannot be used, each refused for its reason, cheaply, and alone."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.drawings import draw, part
from tests.refusals import CANARY, assert_refused, cheap

UNDECODABLE, OUT_OF_BOUNDS = "undecodable-input", "input-out-of-bounds"
PNG = b"\x89PNG\r\n\x1a\n"


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png(width, height, depth=8, colour=0, pixels=b"", before=b""):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    content = chunk(b"IHDR", head) + before + chunk(b"IDAT", zlib.compress(pixels, 9))
    return PNG + content + chunk(b"IEND", b"")


def squeezed(megabytes):
    """Zeros, in a thousandth of their room."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(megabytes)) + packer.flush()


def grey(width, height):
    return Image.linear_gradient("L").resize((width, height))


def photo(width, height, **options):
    return encoded(grey(width, height).convert("RGB"), "JPEG", **options)


def scans(side, times):
    """A progressive JPEG of one colour whose last scan comes again and again."""
    jpeg = encoded(Image.new("RGB", (side, side), "teal"), "JPEG", progressive=True)
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + last * times + b"\xff\xd9"


def with_bad_checksum(content):
    at = content.index(b"IDAT") + 4
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def with_text(length):
    info = PngImagePlugin.PngInfo()
    info.add_text(CANARY, "x" * length, zip=True)
    return encoded(grey(12, 12), pnginfo=info)


def polyglot(after):
    return draw(1) + after


REFUSED = {
    "I1 empty": (b"", UNDECODABLE),
    "I2 random": (np.random.default_rng(0).bytes(4096), UNDECODABLE),
    "I3 cut JPEG": (photo(400, 400)[:2000], UNDECODABLE),
    "I4 wrong checksum": (with_bad_checksum(encoded(grey(64, 64))), UNDECODABLE),
    "I5 81 megapixels": (encoded(Image.new("1", (9000, 9000))), OUT_OF_BOUNDS),
    "I6 169 megapixels": (png(13_000, 13_000, colour=2), OUT_OF_BOUNDS),
    "I7 400 megapixels": (png(20_000, 20_000, depth=1), OUT_OF_BOUNDS),
    "I8 all that fits": (png(2**31 - 1, 2**31 - 1, depth=1), OUT_OF_BOUNDS),
    "I9 no width": (png(0, 9), UNDECODABLE),
    "I9 no height": (png(9, 0), UNDECODABLE),
    "I10 a line": (encoded(Image.new("1", (1, 60_000))), OUT_OF_BOUNDS),
    **{f"I11 {side}×{side}": (encoded(grey(side, side)), OUT_OF_BOUNDS) for side in (1, 2, 8)},
    "I12 text bomb": (with_text(200_000_000), UNDECODABLE),
    "I13 profile bomb": (
        png(9, 9, pixels=bytes(90), before=chunk(b"iCCP", b"x\0\0" + squeezed(200))),
        UNDECODABLE,
    ),
    "I17 100 scans": (scans(4000, 100), OUT_OF_BOUNDS),
    "I17 2000 scans": (scans(2000, 2000), OUT_OF_BOUNDS),
    "I21 EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", UNDECODABLE),
    "I21 PDF": (encoded(grey(9, 9), "PDF"), UNDECODABLE),
    "I21 SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", UNDECODABLE),
    "I21 TIFF": (encoded(grey(9, 9), "TIFF"), UNDECODABLE),
    "I21 FITS": (b"SIMPLE  =                    T".ljust(2880), UNDECODABLE),
    "I21 WMF": (b"\xd7\xcd\xc6\x9a" + bytes(100), UNDECODABLE),
    "I21 SPIDER": (encoded(grey(9, 9).convert("F"), "SPIDER"), UNDECODABLE),
    "I21 PSD": (b"8BPS\0\1" + bytes(100), UNDECODABLE),
    "I21 DDS": (encoded(grey(9, 9).convert("RGB"), "DDS"), UNDECODABLE),
    "I21 JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100), UNDECODABLE),
    "I21 HEIC": (b"\0\0\0\x18ftypheic" + bytes(100), UNDECODABLE),
    "I24 a URL": (f"http://{CANARY}.example/x.png".encode(), UNDECODABLE),
    "I24 data:": (b"data:image/png;base64,iVBORw0KGgo=", UNDECODABLE),
    "I24 file:": (b"file:///etc/passwd", UNDECODABLE),
    "more pixels than memory": (
        png(5000, 5000, colour=6, pixels=bytes(5000 * 20_001)),
        OUT_OF_BOUNDS,
    ),
    "16 bits of 25 megapixels": (
        png(5000, 5000, depth=16, colour=2, pixels=bytes(5000 * 30_001)),
        OUT_OF_BOUNDS,
    ),
    "a header in 6 MB": (b"P3 1000 1000 255 " + b"1 " * 3_000_000, OUT_OF_BOUNDS),
    "a comment in 8 MB": (b"P5 #" + b"x" * 8_000_000, OUT_OF_BOUNDS),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_picture_that_cannot_be_used_is_refused(all_kinds, to_all_kinds, case):
    content, slug = REFUSED[case]

    with cheap(all_kinds):
        answer = to_all_kinds.post("/embed", files=[part(content)])

    assert_refused(answer, 422, slug, "expected")


def orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(grey(12, 12), exif=exif)


def orientation_as_text():
    entry = struct.pack("<HHI4s", 0x0112, 2, 4, b"up!\0")
    return photo(64, 64, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4))


def huge_exif():
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000  # ImageDescription
    return photo(64, 64, exif=exif)


def looping_exif():
    """An IFD whose sub-IFD is itself, and one that points at itself as the next."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)
    return photo(64, 64, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + struct.pack("<I", 8))


def animated(format, frames=3000, **options):
    rest = [Image.new("L", (12, 12), i % 256) for i in range(frames)]
    return encoded(grey(12, 12), format, save_all=True, append_images=rest, **options)


USED = {
    "I14 no profile": lambda: encoded(grey(12, 12), icc_profile=b"not one"),
    "I15 huge EXIF": huge_exif,
    "I15 looping EXIF": looping_exif,
    "I15 orientation as text": orientation_as_text,
    "I16 orientation 0": lambda: orientation(0),
    "I16 orientation 9": lambda: orientation(9),
    "I19 GIF of 3,000 frames": lambda: animated("GIF"),
    "I19 APNG of 3,000 frames": lambda: animated("PNG"),
    "I19 WebP of 300 frames": lambda: animated("WEBP", 300, lossless=True),
    "I22 ZIP behind it": lambda: polyglot(b"PK\x03\x04" + bytes(100)),
    "I22 HTML behind it": lambda: polyglot(b"<script>alert(1)</script>"),
    "a large grey scan": lambda: encoded(Image.new("L", (5000, 5000))),
    "a large photo": lambda: photo(5000, 5000),
}


@pytest.mark.parametrize("case", USED)
def test_a_picture_that_is_only_strange_is_used(all_kinds, to_all_kinds, case):
    content = USED[case]()

    with cheap(all_kinds):
        answer = to_all_kinds.post("/embed", files=[part(content)])

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("form", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_form_of_a_drawing_has_its_embedding(to_all_kinds, form):
    plain = draw(1)
    drawing = Image.open(io.BytesIO(plain))
    if form == "I;16":
        other = encoded(Image.fromarray(np.asarray(drawing, np.uint16) * 257))
    elif form == "CMYK":
        other = encoded(drawing.convert("CMYK"), "JPEG", quality=100, subsampling=0)
    elif form == "PA":
        other = encoded(drawing.convert("RGBA").quantize(16), transparency=None)
    else:
        other = encoded(drawing.convert(form))

    rows = to_all_kinds.post("/embed", files=[part(plain), part(other)]).json()["embeddings"]

    assert np.dot(*rows) > 0.99


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_turned_photo_has_the_embedding_of_the_upright_one(to_all_kinds, turn):
    upright = Image.open(io.BytesIO(draw(1)))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # EXIF's number → Pillow's transposition
    stored = upright.transpose(Image.Transpose(undo[turn])) if turn > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = turn

    files = [part(draw(1)), part(encoded(stored, exif=exif))]
    rows = to_all_kinds.post("/embed", files=files).json()["embeddings"]

    assert np.allclose(*rows, atol=1e-6)


@pytest.mark.parametrize("shade", [0, 255])
def test_a_blank_picture_has_a_unit_embedding_or_none(to_all_kinds, shade):
    answer = to_all_kinds.post("/embed", files=[part(encoded(Image.new("L", (12, 12), shade)))])

    if answer.status_code == 200:
        assert np.linalg.norm(answer.json()["embeddings"][0]) == pytest.approx(1)
    else:
        assert_refused(answer, 422, "degenerate-input")


@pytest.mark.parametrize("declared", ["image/png", "text/html", "application/zip", "x/y; a=b"])
def test_what_a_picture_is_said_to_be_does_not_matter(to_all_kinds, declared):
    plain = to_all_kinds.post("/embed", files=[part(draw(1))]).json()["embeddings"]

    for content, status in ((draw(1), 200), (b"<script>alert(1)</script>", 422)):
        file = ("../../page.html", content, declared)
        answer = to_all_kinds.post("/embed", files=[("files", file)])
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("application/")
        if status == 200:
            assert answer.json()["embeddings"] == plain


def test_what_cannot_be_used_among_many_is_told_in_its_place(all_kinds, to_all_kinds):
    bad = scans(2000, 2000)

    with cheap(all_kinds):
        answer = to_all_kinds.post("/embed", files=[part(draw(1)), part(bad), part(draw(2))])

    assert answer.status_code == 200
    assert [row is None for row in answer.json()["embeddings"]] == [False, True, False]
    (failure,) = answer.json()["failures"]
    assert failure["index"] == 1
    assert failure["problem"]["type"].endswith(OUT_OF_BOUNDS)


@pytest.mark.parametrize("count", [8, 64])
def test_many_slow_pictures_cost_no_more_than_one(all_kinds, to_all_kinds, count):
    slow = part(scans(2000, 2000))

    with cheap(all_kinds):
        answer = to_all_kinds.post("/embed", files=[slow] * count)

    problems = [failure["problem"] for failure in answer.json()["failures"]]
    assert len(problems) == count
    assert {problem["type"].partition("#")[2] for problem in problems} == {OUT_OF_BOUNDS}
    assert "slow samples" in problems[-1]["detail"]


@pytest.mark.parametrize("path", ["/verify", "/enroll", "/evaluate"])
def test_slow_pictures_cost_no_more_than_one_wherever_they_are_sent(all_kinds, to_all_kinds, path):
    slow = scans(2000, 2000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(64):
            archive.writestr(f"{number // 4}/{number}.jpeg", slow)
    sent = {
        "/verify": {"files": [part(slow, "a"), part(slow, "b")]},
        "/enroll": {"files": [part(slow)] * 64, "data": {"identity": "nobody"}},
        "/evaluate": {"files": [part(buffer.getvalue(), "archive")]},
    }[path]

    with cheap(all_kinds):
        answer = to_all_kinds.post(path, **sent)

    assert_refused(answer, 422, OUT_OF_BOUNDS, "processor time")


def test_many_large_photos_are_used(to_all_kinds):
    photos = [part(photo(4000, 3000))] * 64

    answer = to_all_kinds.post("/embed", files=photos)

    assert answer.status_code == 200
    assert "failures" not in answer.json() or not answer.json()["failures"]
