"""Synthesised voices, for tests that need sounds and no data."""

import io

import numpy as np
import soundfile

RATE = 16_000


def voice(person: int, take: int = 0, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    """Return a vowel-like sound (time,): a person has a pitch and formants, a take its melody.

    It swells and fades, so that it is loudest in the middle.
    """
    who, how = np.random.default_rng((7, person)), np.random.default_rng((person, take))
    pitch, formants = who.uniform(90, 250), who.uniform((300, 900, 2200), (900, 2200, 3600))
    time = np.arange(round(seconds * rate)) / rate
    melody = 1 + 0.04 * np.sin(2 * np.pi * (how.uniform(1, 4) * time + how.random()))
    phase = 2 * np.pi * np.cumsum(pitch * melody) / rate
    partials = np.arange(1, 1 + int(min(rate / 2, 4000) / (1.1 * pitch)))
    hertz = partials * pitch
    strengths = sum(np.exp(-(((hertz - each) / 200) ** 2)) for each in formants) + 0.01
    sound = (strengths[:, None] * np.sin(partials[:, None] * phase)).sum(0)
    sound *= np.sin(np.pi * (np.arange(len(time)) + 0.5) / len(time))
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def encoded(
    sound: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None
) -> bytes:
    """Return a sound (time,) or (time, channels) as a file's bytes."""
    content = io.BytesIO()
    soundfile.write(content, sound, rate, format=kind, subtype=subtype)
    return content.getvalue()
