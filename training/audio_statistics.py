"""What the mean and deviation of log-mel bands say of a speaker, by a linear map."""

from collections import defaultdict

import numpy as np
import numpy.typing as npt
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor, nn
from torch.nn import functional

from models_store.preparation import Windows, together
from training.audio_networks import LogMelFrames, TdnnEncoder, statistics
from training.datasets import LabelledSamples
from training.recipe import Recipe

SHRINKAGE = 0.05
"""How far covariances are drawn towards multiples of the identity."""

MOST_WINDOWS = 9
"""Windows of an identity that are looked at: else a few who speak long decide what varies."""

AT_ONCE = 64


class StatisticsEncoder(nn.Module):
    """Log-mel frames (n, bands, frames) -> (n, d): their statistics, standardised and projected.

    The projection is what linear discriminant analysis finds in the clips that a fit learns from:
    directions in which speakers differ and clips of one speaker do not. It is no network, cannot
    overfit by much, and knows what a network that has learnt to overlook microphones does not.
    """

    def __init__(self, bands: int, dimension: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * bands, dimension)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Return embeddings (n, d) of norm 1."""
        return functional.normalize(self.project(summary(frames, mask)), dim=1)


class JoinedEncoder(nn.Module):
    """A network and the statistics of its frames, side by side: half of a distance is of each."""

    def __init__(self, network: TdnnEncoder, of_statistics: StatisticsEncoder) -> None:
        super().__init__()
        self.network = network
        self.of_statistics = of_statistics

    def forward(self, waveform: Tensor, length: Tensor) -> Tensor:
        """Return embeddings (n, d + d') of norm 1 of waveforms (n, time) and lengths (n,)."""
        frames, mask = self.network.frames(waveform, length)
        both = [self.network.of_frames(frames, mask), self.of_statistics(frames, mask)]
        return functional.normalize(torch.cat(both, 1), dim=1)


class AloneEncoder(nn.Module):
    """The statistics alone, from the waveform on: what any network has to be better than."""

    def __init__(self, frames: LogMelFrames, of_statistics: StatisticsEncoder) -> None:
        super().__init__()
        self.frames = frames
        self.of_statistics = of_statistics

    def forward(self, waveform: Tensor, length: Tensor) -> Tensor:
        """Return embeddings (n, d) of norm 1 of waveforms (n, time) and lengths (n,)."""
        embeddings: Tensor = self.of_statistics(*self.frames(waveform, length))
        return embeddings


def with_statistics(
    encoder: nn.Module, samples: LabelledSamples, recipe: Recipe, *, alone: bool = False
) -> nn.Module:
    """Return a fitted encoder and statistics of its frames, as `recipe.export` asks for.

    Or these `alone`, to compare with. `samples` are those that the encoder was fitted to. Raises
    TypeError where the encoder is none that looks at log-mel frames all at once.
    """
    if not isinstance(encoder, TdnnEncoder):
        raise TypeError(f"statistics go with a network of kind tdnn, not {recipe.network.kind}")
    found = fit_statistics(encoder.frames, samples, recipe, recipe.export.statistics)
    joined = AloneEncoder(encoder.frames, found) if alone else JoinedEncoder(encoder, found)
    return joined.eval()


def fit_statistics(
    frames: LogMelFrames, samples: LabelledSamples, recipe: Recipe, dimension: int
) -> StatisticsEncoder:
    """Return the linear map of log-mel statistics that tells these speakers apart best."""
    windows: dict[int, Windows] = defaultdict(tuple)
    for label, own in zip(samples.labels, samples.inputs, strict=True):
        windows[label] = (*windows[label], *own)[:MOST_WINDOWS]
    several = {label: own for label, own in windows.items() if len(own) > 1}
    rows = [window for own in several.values() for window in own]
    labels = np.repeat(list(several), [len(own) for own in several.values()])
    values = _summaries(frames, rows, recipe)
    centre, scale = values.mean(0), values.std(0)
    analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage=SHRINKAGE)
    analysis.fit((values - centre) / scale, labels)
    matrix = analysis.scalings_[:, :dimension].T / scale  # (d, 2 · bands)
    encoder = StatisticsEncoder(values.shape[1] // 2, len(matrix))
    with torch.no_grad():
        encoder.project.weight.copy_(torch.from_numpy(matrix))
        encoder.project.bias.copy_(torch.from_numpy(-matrix @ centre))
    return encoder


def summary(frames: Tensor, mask: Tensor) -> Tensor:
    """Return mean and deviation (n, 2 · bands) of log-mel frames (n, bands, frames)."""
    return statistics(frames, mask / mask.sum(2, keepdim=True))


def _summaries(
    frames: LogMelFrames, rows: list[npt.NDArray[np.float32]], recipe: Recipe
) -> npt.NDArray[np.float64]:
    """Return `summary` of each window."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(rows), AT_ONCE):
            given = together(recipe.input, rows[start : start + AT_ONCE]).values()
            found.append(summary(*frames(*map(torch.from_numpy, given))))
    return torch.cat(found).double().numpy()
