"""Image bytes → encoder input, the same at training and serving."""

import io
from functools import lru_cache
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from models_store.manifest import ImageInput
from models_store.sample import SampleLimits, SampleOutOfBounds, Undecodable

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM")
"""What is decoded; everything else Pillow can read stays closed, EPS's interpreter included."""

CONTENT_MARGIN = 0.1
"""What `fit="content"` leaves around the content, as a share of its longer side."""

LEAST_CONTENT = 0.2
"""The least side of what it cuts out, as a share of the picture's: a dot does not fill a page."""

FAINTEST_CONTENT = 32
"""The least contrast with the background, of 255, that is content and no noise."""

STRIP = 2**18
"""Pixels that are converted at a time."""

Pixels = npt.NDArray[np.float32]


def prepare_image(content: bytes, spec: ImageInput, limits: SampleLimits) -> Pixels:
    """Return the encoder input of one image: float32 of shape (channels, height, width).

    Orientation from EXIF is applied, transparency is laid on the spec's background, 16-bit
    greys are scaled to 8, and of an animation the first frame counts.

    Raises Undecodable or SampleOutOfBounds.
    """
    least = (spec.width, spec.height)
    return to_input(_decode(content, spec.mode, spec.background, limits, least), spec)


def to_input(image: Image.Image, spec: ImageInput) -> Pixels:
    """Return the encoder input of a decoded image, float32 (channels, height, width)."""
    size = (spec.width, spec.height)
    image = _in_mode(image, spec.mode)
    if spec.fit == "content":
        image = _cut_out_content(image, spec)
    if image.size != size:
        if spec.fit == "stretch":
            image = image.resize(size, Image.Resampling.BILINEAR)
        else:
            image = ImageOps.pad(image, size, Image.Resampling.BILINEAR, color=_background(spec))
    pixels = np.asarray(image, np.float32) / 255.0  # (h, w) or (h, w, 3)
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)  # -> (c, h, w)
    mean = np.asarray(spec.mean, np.float32)[:, None, None]
    std = np.asarray(spec.std, np.float32)[:, None, None]
    return np.ascontiguousarray((pixels - mean) / std, np.float32)


def _cut_out_content(image: Image.Image, spec: ImageInput) -> Image.Image:
    """Return a square around what is drawn, or the whole image where that is blank.

    Drawn is what differs from the background by more than half of what differs most.
    """
    grey = _in_mode(image, "L")
    darkest, lightest = cast("tuple[int, int]", grey.getextrema())
    most = max(abs(darkest - spec.background), abs(lightest - spec.background))
    if most < FAINTEST_CONTENT:
        return image
    drawn = grey.point(_standing_out(spec.background, most))
    left, top, right, bottom = drawn.getbbox() or (0, 0, *image.size)
    del grey, drawn
    longest = max(right - left, bottom - top, LEAST_CONTENT * max(image.size))
    side = round(longest * (1 + 2 * CONTENT_MARGIN))
    square = Image.new(image.mode, (side, side), _background(spec))
    square.paste(image, ((side - left - right) // 2, (side - top - bottom) // 2))
    return square


@lru_cache(maxsize=256)
def _standing_out(background: int, most: int) -> list[int]:
    """Return for each shade 255 if it differs from the background by more than half of `most`."""
    return [255 * (abs(shade - background) > most / 2) for shade in range(256)]


def _background(spec: ImageInput) -> int | tuple[int, int, int]:
    return spec.background if spec.mode == "L" else (spec.background,) * 3


def _check_bounds(size: tuple[int, int], limits: SampleLimits) -> None:
    width, height = size
    if width * height > limits.pixels:
        raise SampleOutOfBounds(f"expected at most {limits.pixels} pixels, got {width}×{height}")
    if min(size) < limits.least_side:
        raise SampleOutOfBounds(
            f"expected at least {limits.least_side} pixels each way, got {width}×{height}"
        )
    if max(size) > limits.aspect_ratio * min(size):
        raise SampleOutOfBounds(
            f"expected an aspect ratio of at most {limits.aspect_ratio:g}, got {width}×{height}"
        )


def _decode(
    content: bytes, mode: str, background: int, limits: SampleLimits, least: tuple[int, int]
) -> Image.Image:
    """Return a whole image, upright and in a mode; JPEG may come smaller, if twice `least` still.

    Raises Undecodable or SampleOutOfBounds.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_bounds(image.size, limits)
            if mode == "L" or image.mode in ("L", "RGB"):
                image.draft(mode, (2 * least[0], 2 * least[1]))
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _flatten(image, mode, background)
    except SampleOutOfBounds:
        raise
    except Image.DecompressionBombError as error:
        raise SampleOutOfBounds(f"expected at most {limits.pixels} pixels") from error
    except Exception as error:
        raise Undecodable(f"expected an image ({', '.join(FORMATS)}) that decodes") from error


def _flatten(image: Image.Image, mode: str, background: int) -> Image.Image:
    """Return the image in a mode, strip by strip: only what comes and goes is there as a whole."""
    if image.mode == mode and not image.has_transparency_data:
        return image
    width, height = image.size
    rows = max(1, STRIP // width)
    if rows >= height:
        return _flatten_strip(image, mode, background)
    flat = Image.new(mode, image.size)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        flat.paste(_flatten_strip(strip, mode, background), (0, top))
    return flat


def _flatten_strip(image: Image.Image, mode: str, background: int) -> Image.Image:
    """Return the image in a mode: 16-bit scaled, transparency laid on the background."""
    if image.mode.startswith("I;16") or image.mode == "I":
        deep = np.asarray(image, np.uint32) >> 8
        return _in_mode(Image.fromarray(deep.clip(0, 255).astype(np.uint8)), mode)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (background,) * 3 + (255,))
        image = Image.alpha_composite(canvas, rgba)
    # By way of RGB, so that every spelling of a colour is the same grey.
    return _in_mode(_in_mode(image, "L" if image.mode in ("1", "L") else "RGB"), mode)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Return the image in a mode, and no copy of one that is in it."""
    return image if image.mode == mode else image.convert(mode)


def thumbnail(content: bytes, spec: ImageInput, limits: SampleLimits, side: int = 64) -> bytes:
    """Return an image as a PNG of at most `side` pixels each way, for people to look at.

    Raises Undecodable or SampleOutOfBounds.
    """
    small = _decode(content, "RGB", spec.background, limits, (side, side))
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return buffer.getvalue()
