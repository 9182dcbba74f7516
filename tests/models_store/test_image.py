import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models_store import SampleLimits, SampleOutOfBounds, Undecodable
from models_store.image import prepare_image
from models_store.manifest import ImageInput
from models_store.sample import Unusable

GREY = ImageInput(width=16, height=16, mode="L")
COLOUR = ImageInput(width=16, height=16, mode="RGB")
LIMITS = SampleLimits(pixels=1_000_000)


def encode(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def drawing():
    """A white square with a dark top left quarter."""
    pixels = np.full((16, 16), 255, np.uint8)
    pixels[:8, :8] = 0
    return Image.fromarray(pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_the_same_drawing_gives_the_same_input(mode):
    expected = prepare_image(encode(drawing()), GREY, LIMITS)

    found = prepare_image(encode(drawing().convert(mode)), GREY, LIMITS)

    assert found.shape == (1, 16, 16)
    assert np.allclose(found, expected, atol=0.01)


def test_sixteen_bit_grey_is_scaled_not_clipped():
    deep = Image.fromarray(np.asarray(drawing(), np.uint16) * 257)

    found = prepare_image(encode(deep), GREY, LIMITS)

    assert np.allclose(found, prepare_image(encode(drawing()), GREY, LIMITS), atol=0.01)


def test_cmyk_is_converted_before_it_is_compared():
    found = prepare_image(encode(drawing().convert("CMYK"), "JPEG", quality=95), GREY, LIMITS)

    assert np.allclose(found, prepare_image(encode(drawing()), GREY, LIMITS), atol=0.1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_turned_back(orientation):
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = drawing().transpose(turns[orientation]) if orientation > 1 else drawing()
    exif = Image.Exif()
    exif[0x0112] = orientation

    found = prepare_image(encode(stored, exif=exif), GREY, LIMITS)

    assert np.allclose(found, prepare_image(encode(drawing()), GREY, LIMITS), atol=0.01)


def test_transparency_shows_the_background():
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))

    assert prepare_image(encode(clear), COLOUR, LIMITS).min() == 1.0


def test_of_an_animation_the_first_frame_counts():
    frames = [drawing(), Image.new("L", (16, 16), 0)]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])

    found = prepare_image(content, GREY, LIMITS)

    assert np.allclose(found, prepare_image(encode(drawing()), GREY, LIMITS), atol=0.01)


def test_padding_keeps_the_aspect_ratio_and_stretching_does_not():
    wide = Image.new("L", (40, 10), 0)

    padded = prepare_image(encode(wide), GREY, LIMITS)
    stretched = prepare_image(encode(wide), GREY.model_copy(update={"fit": "stretch"}), LIMITS)

    assert padded[0, 0].min() == 1.0
    assert padded[0, 8].max() == 0.0
    assert stretched.max() == 0.0


CONTENT = GREY.model_copy(update={"fit": "content"})


def stroke_at(x, y, page=(60, 40), paper=255):
    image = Image.new("L", page, paper)
    image.paste(20, (x, y, x + 8, y + 20))
    return image


@given(x=st.integers(0, 52), y=st.integers(0, 20), wide=st.integers(60, 90))
def test_what_is_drawn_is_found_wherever_it_lies_on_the_page(x, y, wide):
    here = prepare_image(encode(stroke_at(x, y, page=(wide, 40))), CONTENT, LIMITS)
    there = prepare_image(encode(stroke_at(3, 2)), CONTENT, LIMITS)

    assert np.array_equal(here, there)


def test_grey_paper_is_no_content():
    cut = prepare_image(encode(stroke_at(30, 10, paper=200)), CONTENT, LIMITS)

    assert (cut[0] < 0.5).any(axis=1).sum() >= 12  # the stroke fills most of the height
    assert (cut[0] < 0.5).any(axis=0).sum() <= 8


def test_a_blank_page_stays_as_it_is_and_a_dot_does_not_fill_it():
    blank = prepare_image(encode(Image.new("L", (60, 40), 250)), CONTENT, LIMITS)
    dot = Image.new("L", (60, 60), 255)
    dot.putpixel((30, 30), 0)

    assert blank.shape == (1, 16, 16)
    assert (prepare_image(encode(dot), CONTENT, LIMITS) < 0.9).sum() <= 4


def test_mean_and_std_are_applied_channel_by_channel():
    spec = COLOUR.model_copy(update={"mean": (0.0, 0.5, 1.0), "std": (1.0, 0.5, 0.25)})

    found = prepare_image(encode(Image.new("RGB", (12, 12), "white")), spec, LIMITS)

    assert found[:, 0, 0].tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 100,
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encode(drawing())[:40],
        encode(drawing().resize((200, 200)), "JPEG")[:500],
        encode(drawing(), "TIFF"),
    ],
    ids=["empty", "zeros", "eps", "svg", "cut png", "cut jpeg", "tiff"],
)
def test_what_does_not_decode_is_refused(content):
    with pytest.raises(Undecodable):
        prepare_image(content, GREY, LIMITS)


@pytest.mark.parametrize("size", [(1001, 1000), (1, 21), (211, 10)])
def test_bounds_are_checked_on_the_header(size):
    with pytest.raises(SampleOutOfBounds, match=f"{size[0]}×{size[1]}"):
        prepare_image(encode(Image.new("1", size)), GREY, LIMITS)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 40), (40, 9)])
def test_a_picture_has_pixels_to_tell_it_by(size):
    with pytest.raises(SampleOutOfBounds, match=f"at least 10 pixels each way, got {size[0]}×"):
        prepare_image(encode(Image.new("L", size)), GREY, LIMITS)


def test_a_picture_of_the_least_size_is_used():
    content = encode(Image.new("L", (8, 8)))

    prepare_image(encode(Image.new("L", (10, 10))), GREY, LIMITS)
    prepare_image(content, GREY, SampleLimits(least_side=8))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 400), st.binary(max_size=4))
def test_mutated_images_are_embedded_or_refused_but_never_crash(prefix, at, patch):
    content = bytearray(encode(drawing()))
    content[at : at + len(patch)] = patch

    for candidate in (bytes(content), prefix):
        try:
            found = prepare_image(candidate, GREY, LIMITS)
        except Unusable:
            continue
        assert np.isfinite(found).all()
