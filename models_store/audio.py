"""Audio bytes → encoder input, the same at training and serving."""

import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from models_store.containers import openable
from models_store.manifest import AudioInput
from models_store.sample import Degenerate, SampleLimits, SampleOutOfBounds, Undecodable, Unusable

FORMATS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3", "AIFF")
"""What is decoded; everything else that libsndfile can read stays closed."""

Waveform = npt.NDArray[np.float32]

RATES = (1000, 384_000)
SILENT = 1e-7
"""A peak at or below this is silence: less than the last of 24 bits."""

LOUDEST = 2.0**32
"""A peak above this is no sound: integers of 32 bits that were never scaled lie below."""

_EXPECTED = f"expected audio ({', '.join(FORMATS)}) that decodes"
_BLOCK = 1 << 16  # frames; a long file in many channels is never in memory as a whole
_UNKNOWN = 1 << 62  # what libsndfile says where the header does not tell how long a clip is
_STEP = 0.01  # s; silence is found to this


def prepare_audio(content: bytes, spec: AudioInput, limits: SampleLimits) -> tuple[Waveform, ...]:
    """Return the encoder input of one clip: its windows, float32 of shape (time,) each.

    Raises Unusable.
    """
    clip = decode(content, spec.sample_rate, limits)
    if spec.silence is not None:
        clip = heard(clip, spec.sample_rate, spec.silence)
    if len(clip) < spec.shortest * spec.sample_rate:
        raise SampleOutOfBounds(
            f"expected at least {spec.shortest:g} seconds of sound, "
            f"got {len(clip) / spec.sample_rate:.3f}"
        )
    if spec.loudness is not None:
        clip = levelled(clip, spec.loudness)
    return windows(clip, spec)


def decode(content: bytes, sample_rate: int, limits: SampleLimits) -> Waveform:
    """Return a clip as float32 of shape (time,): channels averaged, at `sample_rate`.

    A WAV file that ends before its header says is taken as far as it goes, of FLAC and MP3 files
    that do nothing. Raises Unusable.
    """
    try:
        with soundfile.SoundFile(_Content(openable(content))) as file:
            _check_header(file, limits)
            clip = np.concatenate(
                [np.empty(0, np.float32), *_resampled(file, sample_rate, limits)]
            )
    except Unusable:
        raise
    except Exception as error:
        raise Undecodable(_EXPECTED) from error
    if not np.isfinite(clip).all():
        raise Degenerate("expected audio of finite numbers")
    peak = np.abs(clip).max(initial=0)
    if peak > LOUDEST:
        raise Degenerate("expected audio of finite numbers, full scale being 1")
    if peak <= SILENT:
        raise Degenerate("expected audio that is not silent throughout")
    return clip


def heard(clip: Waveform, sample_rate: int, silence: float) -> Waveform:
    """Return a clip (time,) without its silence, at the ends and in between.

    Silent is each hundredth of a second that lies `silence` decibels or more below the loudest.
    So silence added to a clip is cut out again.
    """
    step = round(_STEP * sample_rate)
    size = np.abs(clip)
    start = int(np.argmax(size > size.max() * 10 ** (-silence / 20)))
    before = -start % step  # a step begins with the sound, so that silence before it moves none
    padded = np.pad(clip, (before, -(before + len(clip)) % step))
    power = np.square(padded.reshape(-1, step), dtype=np.float64).mean(axis=1)
    kept = power > power.max() * 10 ** (-silence / 10)
    loud: Waveform = clip[np.repeat(kept, step)[before : before + len(clip)]]
    return loud


def levelled(clip: Waveform, loudness: float) -> Waveform:
    """Return a clip (time,) at a loudness: root mean square in decibels below full scale."""
    power = np.square(clip, dtype=np.float64).mean()
    louder: Waveform = (clip * (10 ** (loudness / 20) / np.sqrt(power))).astype(np.float32)
    return louder


def windows(clip: Waveform, spec: AudioInput) -> tuple[Waveform, ...]:
    """Return the windows of a clip (time,), all of one length, which leave nothing of it out."""
    window, hop = spec.frames, round(spec.hop * spec.sample_rate)
    if len(clip) <= window:
        if spec.short == "pad":
            clip = np.pad(clip, (0, window - len(clip)))
        return (clip,)
    starts = [*range(0, len(clip) - window, hop), len(clip) - window]
    return tuple(clip[start : start + window] for start in starts)


class _Content(io.BytesIO):
    """Bytes in which a damaged header may point before the beginning."""

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return super().seek(0)


def _check_header(file: soundfile.SoundFile, limits: SampleLimits) -> None:
    """Refuse what can be refused before anything is decoded."""
    if file.format not in FORMATS:
        raise Undecodable(_EXPECTED)
    if file.channels > limits.channels:
        raise SampleOutOfBounds(
            f"expected at most {limits.channels} channels, got {file.channels}"
        )
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise SampleOutOfBounds(
            f"expected a sample rate of {RATES[0]} to {RATES[1]} Hz, got {file.samplerate}"
        )
    if limits.seconds * file.samplerate < file.frames < _UNKNOWN:
        raise SampleOutOfBounds(
            f"expected at most {limits.seconds:g} seconds of audio, "
            f"got {file.frames / file.samplerate:g}"
        )


def _resampled(
    file: soundfile.SoundFile, sample_rate: int, limits: SampleLimits
) -> Iterator[Waveform]:
    """Yield a file block by block: one channel, at `sample_rate`."""
    stream = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32")
    read, ended = 0, False
    while not ended:
        block = file.read(_BLOCK, dtype="float32", always_2d=True)  # (time, channels)
        read += len(block)
        ended = len(block) < _BLOCK
        if read > limits.seconds * file.samplerate:
            raise SampleOutOfBounds(f"expected at most {limits.seconds:g} seconds of audio")
        yield stream.resample_chunk(block.mean(axis=1), last=ended)
    if read < file.frames < _UNKNOWN:
        raise Undecodable(f"expected {file.frames} frames, as the header says, got {read}")
