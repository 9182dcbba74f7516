"""Small drawings made on the spot: each character is a fixed scribble, each take a bit other."""

import base64
import io

import numpy as np
from PIL import Image


def draw(character: int, take: int = 0, size: int = 12) -> bytes:
    """Return a PNG: takes of one character differ in a few pixels, characters in half of them."""
    ink = np.random.default_rng(character).random((size, size)) < 0.5
    flips = np.random.default_rng([character, take, 1]).random((size, size)) < 0.03 * (take > 0)
    return png(np.where(ink ^ flips, 0, 255).astype(np.uint8))


def png(pixels: np.ndarray) -> bytes:
    """Return pixels (h, w) as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def part(content: bytes, name: str = "files") -> tuple[str, tuple[str, bytes, str]]:
    """Return a multipart file for httpx."""
    return name, ("drawing.png", content, "image/png")


def as_json(content: bytes) -> dict[str, str]:
    """Return a JSON sample."""
    return {"base64": base64.b64encode(content).decode(), "media_type": "image/png"}
