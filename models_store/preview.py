"""Sample bytes → a small picture of them, for people to look at: nothing of the bytes is in it."""

import io

import numpy as np
from PIL import Image

from models_store.audio import decode
from models_store.image import thumbnail
from models_store.manifest import AudioInput, ImageInput
from models_store.sample import Degenerate, SampleLimits

SIDE = 160  # pixels, each way, at most
_HEIGHT = 60  # of a sound
_INK, _PAPER = (40, 70, 110), (255, 255, 255)


def preview(content: bytes, spec: ImageInput | AudioInput, limits: SampleLimits) -> bytes:
    """Return an image made smaller, or how loud a sound is from left to right, as a PNG.

    Only pixels are written: no metadata, colour profile or text of what was sent. Raises
    Undecodable, SampleOutOfBounds or Degenerate.
    """
    if isinstance(spec, ImageInput):
        with Image.open(io.BytesIO(thumbnail(content, spec, limits, SIDE))) as small:
            return _png(np.asarray(small.convert("RGB")))
    return _png(_drawn(np.abs(decode(content, spec.sample_rate, limits))))


def _drawn(loudness: np.ndarray) -> np.ndarray:
    """Return pixels (h, w, 3) of amplitudes (time,), the loudest as high as the picture."""
    if not len(loudness):
        raise Degenerate("expected a sound with something in it")
    parts = np.array_split(loudness, min(SIDE, len(loudness)))
    peaks = np.array([part.max() for part in parts])
    heights = peaks / max(float(peaks.max()), np.finfo(np.float32).tiny)
    away = np.abs(np.arange(_HEIGHT) - (_HEIGHT - 1) / 2) / (_HEIGHT / 2)
    inked = away[:, None] <= np.maximum(heights, 1 / _HEIGHT)[None]
    return np.where(inked[..., None], np.array(_INK, np.uint8), np.array(_PAPER, np.uint8))


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
