"""Audio bytes → encoder input, the same at training and serving."""

import io

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from models_store.manifest import AudioInput
from models_store.sample import SampleLimits, SampleOutOfBounds, Undecodable

FORMATS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3", "AIFF")
"""What is decoded; everything else that libsndfile can read stays closed."""

Waveform = npt.NDArray[np.float32]


def prepare_audio(content: bytes, spec: AudioInput, limits: SampleLimits) -> tuple[Waveform, ...]:
    """Return the encoder input of one clip: its windows, float32 of shape (time,) each.

    Raises Undecodable or SampleOutOfBounds.
    """
    return windows(decode(content, spec.sample_rate, limits), spec)


def decode(content: bytes, sample_rate: int, limits: SampleLimits) -> Waveform:
    """Return a clip as float32 of shape (time,): channels averaged, at `sample_rate`.

    Raises Undecodable or SampleOutOfBounds.
    """
    expected = f"expected audio ({', '.join(FORMATS)}) that decodes"
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.format not in FORMATS:
                raise Undecodable(expected)
            _check_bounds(file.frames, file.samplerate, file.channels, limits)
            longest = int(limits.seconds * file.samplerate)
            clip = file.read(longest + 1, dtype="float32", always_2d=True)  # (time, channels)
            _check_bounds(len(clip), file.samplerate, file.channels, limits)
            given_rate = file.samplerate
    except (SampleOutOfBounds, Undecodable):
        raise
    except Exception as error:
        raise Undecodable(expected) from error
    mono = clip.mean(axis=1)
    if not np.isfinite(mono).all():
        raise Undecodable("expected audio of finite numbers")
    resampled: Waveform = soxr.resample(mono, given_rate, sample_rate).astype(np.float32)
    if not resampled.any():
        raise Undecodable("expected audio that is not silent throughout")
    return resampled


def windows(clip: Waveform, spec: AudioInput) -> tuple[Waveform, ...]:
    """Return the windows of a clip (time,), all of one length, which leave nothing of it out."""
    window, hop = spec.frames, round(spec.hop * spec.sample_rate)
    if len(clip) <= window:
        if spec.short == "pad":
            clip = np.pad(clip, (0, window - len(clip)))
        return (clip,)
    starts = [*range(0, len(clip) - window, hop), len(clip) - window]
    return tuple(clip[start : start + window] for start in starts)


def _check_bounds(frames: int, rate: int, channels: int, limits: SampleLimits) -> None:
    if channels > limits.channels:
        raise SampleOutOfBounds(f"expected at most {limits.channels} channels, got {channels}")
    if not 1000 <= rate <= 384_000:
        raise SampleOutOfBounds(f"expected a sample rate of 1000 to 384000 Hz, got {rate}")
    if frames > limits.seconds * rate:
        raise SampleOutOfBounds(f"expected at most {limits.seconds:g} seconds of audio")
