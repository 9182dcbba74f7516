"""How else a clip could have been recorded, and what other speakers could be made of it."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor
from torch.nn import functional

from models_store.manifest import AudioInput
from models_store.preparation import Windows
from training.recipe import SoundAugmentation
from training.sampling import Rows

CURVE_POINTS = 8
"""The equaliser's curve is drawn at so many places from 0 Hz to half the sample rate."""

TELEPHONE = 3400.0
"""Hz; a narrow band ends here or up to a fifth higher."""

BABBLE = 0.3
"""The share of noisy clips whose noise is other clips of the batch."""

Waveform = npt.NDArray[np.float32]


def sound_feed(
    samples: Sequence[Windows], labels: Rows, spec: AudioInput, how: SoundAugmentation
) -> Callable[[Rows], tuple[Tensor, Tensor]]:
    """Return what gives waveforms (n, time) and lengths (n,) for rows of a batch.

    Of n samples, row r is sample r % n at the speed r // n. Draws from torch's generator only.
    """
    n = len(samples)
    order = np.argsort(labels[:n], kind="stable")
    first = np.searchsorted(labels[:n], np.arange(labels[:n].max() + 1), sorter=order)
    last = np.append(first[1:], n)

    def clip(row: int, frames: int) -> Waveform:
        """Return one window of a sample, perhaps with others of its identity, cut to length."""
        parts = [_any(samples[row])]
        if torch.rand(()) < how.joined:
            own = order[first[labels[row]] : last[labels[row]]]
            while sum(map(len, parts)) < frames:
                parts.append(_any(samples[own[_draw(len(own))]]))
        whole = np.concatenate(parts)
        start = _draw(max(1, len(whole) - frames + 1))
        return whole[start : start + frames]

    def feed(rows: Rows) -> tuple[Tensor, Tensor]:
        seconds = how.seconds[0] + float(torch.rand(())) * (how.seconds[1] - how.seconds[0])
        frames = round(seconds * spec.sample_rate)
        clips = []
        for row in rows:
            speed = how.speeds[row // n]
            chosen = clip(int(row % n), round(frames * speed))
            if speed != 1:
                chosen = soxr.resample(chosen, speed * spec.sample_rate, spec.sample_rate)
            clips.append(torch.from_numpy(chosen[:frames]))
        length = torch.tensor([len(each) for each in clips])
        waveform = torch.stack(
            [functional.pad(each, (0, int(length.max()) - len(each))) for each in clips]
        )
        return record(waveform, length, spec.sample_rate, how), length

    return feed


def record(waveform: Tensor, length: Tensor, sample_rate: int, how: SoundAugmentation) -> Tensor:
    """Return clips (n, time) as another microphone in another room might have recorded them.

    Noise of random colour, or a babble of the batch's other clips, is added; then a smooth curve
    raises and lowers bands. A clip keeps its power, and what follows its length stays zero.
    """
    n, time = waveform.shape
    heard = (torch.arange(time) < length[:, None]).to(waveform.dtype)
    size = 1 << (time - 1).bit_length()
    hertz = torch.linspace(0, sample_rate / 2, size // 2 + 1)
    loud = _power(waveform, length)
    babble = torch.fft.rfft(waveform.roll(1, 0) + waveform.roll(n // 2 + 1, 0), size)
    colour = (hertz.clamp(min=50) / 1000) ** (-torch.rand(n, 1))  # from white to brown
    hiss = torch.randn(n, len(hertz), dtype=torch.complex64) * colour
    others = torch.rand(n, 1) < BABBLE
    noise = torch.fft.irfft(torch.where(others, babble, hiss), size)[:, :time] * heard
    low, high = how.noise
    below = low + torch.rand(n) * (high - low)
    gain = (loud / _power(noise, length)).sqrt() * 10 ** (-below / 20)
    noisy = waveform + noise * (gain * (torch.rand(n) < how.noisy))[:, None]

    points = (torch.rand(n, 1, CURVE_POINTS) * 2 - 1) * how.equaliser
    curve = functional.interpolate(points, len(hertz), mode="linear", align_corners=True)[:, 0]
    edge = TELEPHONE * (1 + 0.2 * torch.rand(n, 1))
    narrow = (torch.rand(n, 1) < how.narrow) & (hertz > edge)
    response = torch.where(narrow, 1e-3, 10 ** (curve / 20))
    changed = torch.fft.irfft(torch.fft.rfft(noisy, size) * response, size)[:, :time] * heard
    again: Tensor = changed * (loud / _power(changed, length)).sqrt()[:, None]
    return again


def _power(waveform: Tensor, length: Tensor) -> Tensor:
    return (waveform.square().sum(1) / length).clamp(min=1e-12)


def _any(windows: Windows) -> Waveform:
    chosen: Waveform = windows[_draw(len(windows))]
    return chosen


def _draw(below: int) -> int:
    return int(torch.randint(below, ()))
