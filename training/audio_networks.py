"""Encoders of sound: waveforms and their lengths in, embeddings of norm 1 out.

Each takes waveforms (n, time) and lengths (n,). What follows a length is padding, and changes
nothing: it is zeroed before every layer that sees more than one frame, and left out of every mean.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.shapes import CnnLstmNetwork, LogMel, RawWaveNetwork, TdnnNetwork

FLOOR = 1e-6
"""Added to the power in a band before its logarithm."""


class LogMelFrames(nn.Module):
    """Waveforms -> the logarithm of the power in bands as wide as the ear's: (n, bands, frames).

    A frame begins every hop, and the last ones of a clip reach into silence. The spectrum is a
    convolution with windowed sines and cosines, which every runtime has and computes alike. Of
    every clip the mean of all its values is taken away, so that loudness does not count.
    """

    def __init__(self, sample_rate: int, how: LogMel) -> None:
        super().__init__()
        self.hop = round(how.hop * sample_rate)
        window = round(how.window * sample_rate)
        size = 1 << (window - 1).bit_length()
        time = torch.arange(window, dtype=torch.float64)
        angle = 2 * math.pi * torch.arange(size // 2 + 1)[:, None] * time / size
        hann = torch.hann_window(window, periodic=True, dtype=torch.float64)
        waves = torch.cat([angle.cos(), angle.sin()]) * hann
        self.register_buffer("waves", waves[:, None].float(), persistent=False)
        bands = mel_bands(sample_rate, size, how.bands, how.lowest, how.highest)
        self.register_buffer("bands", bands[:, :, None].float(), persistent=False)

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-mel frames (n, bands, frames) and which of them are not padding."""
        waves = self.get_buffer("waves")
        heard = waveform * mask_of(length, waveform)[:, 0]
        silence = heard.new_zeros(1, waves.shape[2]).expand(heard.shape[0], -1)
        padded = torch.cat([heard, silence], 1)
        spectrum = functional.conv1d(padded[:, None], waves, stride=self.hop)
        cosines, sines = spectrum.chunk(2, dim=1)
        power = functional.conv1d(cosines.square() + sines.square(), self.get_buffer("bands"))
        mask = mask_of((length + self.hop - 1) // self.hop, power)
        logs = torch.log(power + FLOOR)
        mean = (logs * mask).mean(1, keepdim=True).sum(2, keepdim=True) / mask.sum(2, keepdim=True)
        return (logs - mean) * mask, mask


def mel_bands(sample_rate: int, size: int, bands: int, lowest: float, highest: float) -> Tensor:
    """Return triangular filters (bands, size // 2 + 1), evenly spaced on O'Shaughnessy's mel."""
    edges = torch.linspace(_mel(lowest), _mel(highest), bands + 2, dtype=torch.float64)
    hertz = 700 * (10 ** (edges / 2595) - 1)
    bins = torch.arange(size // 2 + 1, dtype=torch.float64) * sample_rate / size
    low, middle, high = hertz[:-2, None], hertz[1:-1, None], hertz[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0)


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


class TdnnEncoder(nn.Module):
    """A small residual time-delay net with attentive-statistics pooling: (n, time) -> (n, d).

    After ECAPA-TDNN (Desplanques et al., 2020), without its Res2 groups: blocks of growing
    dilation that weigh their channels by the whole clip, all blocks' outputs together, and the
    mean and deviation of what attention picks out of them.
    """

    def __init__(self, sample_rate: int, network: TdnnNetwork) -> None:
        super().__init__()
        width = network.width
        self.frames = LogMelFrames(sample_rate, network.frames)
        self.norm = MaskedNorm(network.frames.bands)
        self.stem = _Layer(network.frames.bands, width, 5, stride=2)
        self.blocks = nn.ModuleList(_TdnnBlock(width, each) for each in network.dilations)
        self.join = _Layer(width * len(network.dilations), network.joined, 1)
        self.pool = AttentiveStatistics(network.joined, network.attention)
        self.pooled_norm = nn.BatchNorm1d(2 * network.joined)
        self.dropout = nn.Dropout(network.dropout)
        self.project = nn.Linear(2 * network.joined, network.dimension)
        self.centre = nn.BatchNorm1d(network.dimension, affine=False)

    def forward(self, waveform: Tensor, length: Tensor) -> Tensor:
        """Return embeddings (n, d) of norm 1."""
        return self.of_frames(*self.frames(waveform, length))

    def of_frames(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Return embeddings of log-mel frames (n, bands, frames)."""
        maps, mask = self.stem(self.norm(frames, mask), mask)  # -> (n, width, frames / 2)
        outs = []
        for block in self.blocks:
            maps = block(maps, mask)
            outs.append(maps)
        joined, mask = self.join(torch.cat(outs, 1), mask)
        pooled = self.dropout(self.pooled_norm(self.pool(joined, mask)))
        return functional.normalize(self.centre(self.project(pooled)), dim=1)


class CnnLstmEncoder(nn.Module):
    """Log-mel frames, convolutions along time, an LSTM, and the mean of what it says.

    The LSTM only looks back, so that padding at the end reaches nothing that is counted.
    """

    def __init__(self, sample_rate: int, network: CnnLstmNetwork) -> None:
        super().__init__()
        self.frames = LogMelFrames(sample_rate, network.frames)
        self.norm = MaskedNorm(network.frames.bands)
        ins = (network.frames.bands, *network.widths)
        self.layers = nn.ModuleList(
            _Layer(a, b, 3, stride=2) for a, b in zip(ins, network.widths, strict=False)
        )
        self.lstm = nn.LSTM(network.widths[-1], network.hidden, batch_first=True)
        self.project = nn.Linear(network.hidden, network.dimension)
        self.centre = nn.BatchNorm1d(network.dimension, affine=False)

    def forward(self, waveform: Tensor, length: Tensor) -> Tensor:
        """Return embeddings (n, d) of norm 1."""
        maps, mask = self.frames(waveform, length)
        maps = self.norm(maps, mask)
        for layer in self.layers:
            maps, mask = layer(maps, mask)
        said, _ = self.lstm(maps.transpose(1, 2))  # (n, width, frames) -> (n, frames, hidden)
        mean = masked_mean(said.transpose(1, 2), mask)[:, :, 0]
        return functional.normalize(self.centre(self.project(mean)), dim=1)


class RawWaveEncoder(nn.Module):
    """Convolutions on the waveform itself, pooled by four each, and the maximum over time.

    After voicemap (Oscar Knagg, 2018), whose filters are learnt from the samples on.
    """

    def __init__(self, network: RawWaveNetwork) -> None:
        super().__init__()
        ins, kernels = (1, *network.widths), (33, *[3] * len(network.widths))
        self.layers = nn.ModuleList(
            _Layer(a, b, kernel, stride=network.stride if a == 1 else 1)
            for a, b, kernel in zip(ins, network.widths, kernels, strict=False)
        )
        self.project = nn.Linear(network.widths[-1], network.dimension)
        self.centre = nn.BatchNorm1d(network.dimension, affine=False)

    def forward(self, waveform: Tensor, length: Tensor) -> Tensor:
        """Return embeddings (n, d) of norm 1."""
        mask = mask_of(length, waveform)
        maps = waveform[:, None] * mask
        for layer in self.layers:
            maps, mask = layer(maps, mask)  # never negative, so that zeros do no harm to a maximum
            maps = functional.max_pool1d(maps, 4, ceil_mode=True)
            mask = functional.max_pool1d(mask, 4, ceil_mode=True)
        return functional.normalize(self.centre(self.project(maps.amax(2))), dim=1)


class MaskedNorm(nn.BatchNorm1d):
    """Batch normalisation of (n, c, frames) by the frames that are no padding: that stays 0."""

    def forward(self, maps: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """Return normalised maps; `maps` are zero where `mask` (n, 1, frames) is."""
        if not self.training:
            return super().forward(maps) * mask
        count = mask.sum()
        mean = maps.sum((0, 2)) / count
        spread = (maps.square().sum((0, 2)) / count - mean.square()).clamp(min=0)
        with torch.no_grad():
            self.get_buffer("running_mean").lerp_(mean, self.momentum or 0.0)
            self.get_buffer("running_var").lerp_(spread, self.momentum or 0.0)
        slope = self.weight / (spread + self.eps).sqrt()
        shift = self.bias - mean * slope
        return torch.addcmul(shift[:, None], maps, slope[:, None]) * mask


class AttentiveStatistics(nn.Module):
    """(n, c, frames) -> (n, 2c): mean and deviation by weights that each channel has for itself.

    Okabe et al., Attentive Statistics Pooling for Deep Speaker Embedding, 2018; the attention
    knows the whole clip's mean and deviation, as in ECAPA-TDNN.
    """

    def __init__(self, channels: int, attention: int) -> None:
        super().__init__()
        self.here = nn.Conv1d(channels, attention, 1)
        self.overall = nn.Linear(2 * channels, attention)
        self.weigh = nn.Conv1d(attention, channels, 1)

    def forward(self, maps: Tensor, mask: Tensor) -> Tensor:
        """Return the statistics of maps, of the frames that `mask` (n, 1, frames) keeps."""
        overall = self.overall(statistics(maps, mask / mask.sum(2, keepdim=True)))
        weights = self.weigh(torch.tanh(self.here(maps) + overall[:, :, None]))
        weights = torch.softmax(weights.masked_fill(mask == 0, -1e4), dim=2) * mask
        return statistics(maps, weights)


class _Layer(nn.Module):
    """A convolution along time, normalised and rectified; padding goes in and comes out as 0."""

    def __init__(
        self, ins: int, outs: int, kernel: int, *, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.stride = stride
        around = dilation * (kernel - 1) // 2
        self.conv = nn.Conv1d(
            ins, outs, kernel, stride=stride, padding=around, dilation=dilation, bias=False
        )
        self.norm = MaskedNorm(outs)

    def forward(self, maps: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.conv(maps)
        if self.stride > 1:
            mask = functional.max_pool1d(mask, 1, self.stride)
        return torch.relu(self.norm(maps * mask, mask)), mask


class _TdnnBlock(nn.Module):
    """Narrow, dilated, narrow; channels weighed by the whole clip; added to what came in."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = _Layer(width, width, 1)
        self.middle = _Layer(width, width, 3, dilation=dilation)
        self.last = _Layer(width, width, 1)
        self.squeeze = nn.Conv1d(width, width // 4, 1)
        self.excite = nn.Conv1d(width // 4, width, 1)

    def forward(self, maps: Tensor, mask: Tensor) -> Tensor:
        inner, _ = self.first(maps, mask)
        inner, _ = self.middle(inner, mask)
        inner, _ = self.last(inner, mask)
        overall = torch.relu(self.squeeze(masked_mean(inner, mask)))
        result: Tensor = maps + inner * torch.sigmoid(self.excite(overall))
        return result


def mask_of(length: Tensor, like: Tensor) -> Tensor:
    """Return (n, 1, time): 1 for what comes before the lengths (n,), 0 for the rest of `like`."""
    places = torch.arange(like.shape[-1], device=like.device)
    return (places < length[:, None])[:, None].to(like.dtype)


def masked_mean(maps: Tensor, mask: Tensor) -> Tensor:
    """Return the mean (n, c, 1) of the frames of maps (n, c, frames) that `mask` keeps."""
    return (maps * mask).sum(2, keepdim=True) / mask.sum(2, keepdim=True)


def statistics(maps: Tensor, weights: Tensor) -> Tensor:
    """Return mean and deviation over time (n, 2c), by weights that sum to 1."""
    mean = (maps * weights).sum(2)
    spread = (maps.square() * weights).sum(2) - mean.square()
    return torch.cat([mean, spread.clamp(min=1e-4).sqrt()], 1)
