"""Image bytes → encoder input, the same at training and serving."""

import io

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

Pixels = npt.NDArray[np.float32]


def prepare_image(content: bytes, spec: ImageInput, limits: SampleLimits) -> Pixels:
    """Return the encoder input of one image: float32 of shape (channels, height, width).

    Orientation from EXIF is applied, transparency is laid on the spec's background, 16-bit
    greys are scaled to 8, and of an animation the first frame counts.

    Raises Undecodable or SampleOutOfBounds.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_bounds(image.size, limits)
            if spec.mode == "L" or image.mode in ("L", "RGB"):
                image.draft(spec.mode, (2 * spec.width, 2 * spec.height))
            flat = _flatten(ImageOps.exif_transpose(image), spec)
    except SampleOutOfBounds:
        raise
    except Exception as error:
        raise Undecodable(f"expected an image ({', '.join(FORMATS)}) that decodes") from error
    return to_input(flat, spec)


def to_input(image: Image.Image, spec: ImageInput) -> Pixels:
    """Return the encoder input of a decoded image, float32 (channels, height, width)."""
    size = (spec.width, spec.height)
    image = image.convert(spec.mode)
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
    contrast = np.abs(np.asarray(image.convert("L"), np.int16) - spec.background)  # (h, w)
    if contrast.max() < FAINTEST_CONTENT:
        return image
    drawn = contrast > contrast.max() / 2
    left, right = np.flatnonzero(drawn.any(axis=0))[[0, -1]].tolist()
    top, bottom = np.flatnonzero(drawn.any(axis=1))[[0, -1]].tolist()
    longest = max(right - left + 1, bottom - top + 1, LEAST_CONTENT * max(image.size))
    side = round(longest * (1 + 2 * CONTENT_MARGIN))
    square = Image.new(image.mode, (side, side), _background(spec))
    square.paste(image, ((side - left - right - 1) // 2, (side - top - bottom - 1) // 2))
    return square


def _background(spec: ImageInput) -> int | tuple[int, int, int]:
    return spec.background if spec.mode == "L" else (spec.background,) * 3


def _check_bounds(size: tuple[int, int], limits: SampleLimits) -> None:
    width, height = size
    if width * height > limits.pixels:
        raise SampleOutOfBounds(f"expected at most {limits.pixels} pixels, got {width}×{height}")
    if max(size) > limits.aspect_ratio * min(size):
        raise SampleOutOfBounds(
            f"expected an aspect ratio of at most {limits.aspect_ratio:g}, got {width}×{height}"
        )


def _flatten(image: Image.Image, spec: ImageInput) -> Image.Image:
    """Return the image as L or RGB: 16-bit scaled, transparency laid on the background."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return Image.fromarray((np.asarray(image, np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (spec.background,) * 3 + (255,))
        return Image.alpha_composite(canvas, rgba).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def thumbnail(content: bytes, spec: ImageInput, limits: SampleLimits, side: int = 64) -> bytes:
    """Return an image as a PNG of at most `side` pixels each way, for people to look at.

    Raises Undecodable or SampleOutOfBounds.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_bounds(image.size, limits)
            image.draft("RGB", (2 * side, 2 * side))
            small = _flatten(ImageOps.exif_transpose(image), spec)
    except SampleOutOfBounds:
        raise
    except Exception as error:
        raise Undecodable(f"expected an image ({', '.join(FORMATS)}) that decodes") from error
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return buffer.getvalue()
