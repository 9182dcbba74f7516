"""The GE2E speaker encoder of the package `resemblyzer`, rebuilt to run from the waveform on.

Its weights are Apache-2.0 (Corentin Jemine, Resemble AI), after Wan et al., Generalized End-to-End
Loss for Speaker Verification, 2018. The package itself is not imported: it would bring librosa.
"""

import importlib.util
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.calibration import calibrate, score_of
from evaluation.engine import Progress
from evaluation.figures import evaluate
from evaluation.pairs import Embedded
from models_store.comparator import Comparator
from models_store.manifest import AudioInput, Provenance, TrainingSource
from training.audio_networks import mask_of
from training.datasets import LabelledSamples
from training.export import TrainedEncoder, export_bundle
from training.networks import embed
from training.recipe import Card

SOURCE = TrainingSource(
    name="resemblyzer 0.1.4: LibriSpeech-other, VoxCeleb1 and VoxCeleb2",
    licence="Apache-2.0",
    source="https://github.com/resemble-ai/Resemblyzer",
)
INPUT = AudioInput(sample_rate=16_000, window=30, hop=30, silence=60, shortest=0.1, loudness=-30)
"""As long as a window, all is one utterance to the encoder, which cuts it up itself."""

HOP, WINDOW, BANDS, WIDTH, LAYERS = 160, 400, 40, 256, 3
PARTIAL = 160
"""Frames of a partial utterance: 1.6 s."""
STEP = 77
"""Frames from one to the next: 1.3 a second."""
COVERED = 0.75
"""The share of the last one that must be sound, unless it is the only one."""

AT_ONCE = 32
EXAMPLES = 6

USE = """
Telling speakers apart, of any language, best by utterances of a few seconds: verify, identify,
cluster, or find who spoke when.
"""
LIMITS = """
It is the GE2E encoder of `resemblyzer` as it was published, rebuilt: utterances of a second tell
it much less than long ones, and so do languages other than English and voices that are raised. The
package finds speech with WebRTC's detector; here, what lies 60 dB below the loudest is cut out.
Whoever imitates or plays back a voice is not found out.
"""


class UtteranceEncoder(nn.Module):
    """The mean of the embeddings of partial utterances: (n, time), (n,) -> (n, 256).

    As `embed_utterance` of the package: power in 40 bands of Slaney's mel, not its logarithm,
    three LSTM layers, the last state, projected and rectified.
    """

    def __init__(self, states: dict[str, Tensor]) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, WIDTH, LAYERS, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.load_state_dict({name: states[name] for name in self.state_dict()})
        time = torch.arange(WINDOW, dtype=torch.float64)
        angle = 2 * math.pi * torch.arange(WINDOW // 2 + 1)[:, None] * time / WINDOW
        waves = torch.cat([angle.cos(), angle.sin()])
        waves *= torch.hann_window(WINDOW, dtype=torch.float64)
        self.register_buffer("waves", waves[:, None].float(), persistent=False)
        bands = slaney_bands(INPUT.sample_rate, WINDOW, BANDS)
        self.register_buffer("bands", bands[:, :, None].float(), persistent=False)

    def forward(self, waveform: Tensor, length: Tensor) -> Tensor:
        """Return embeddings (n, 256) of norm 1; no number is negative."""
        n = waveform.shape[0]
        heard = waveform * mask_of(length, waveform)[:, 0]
        frames = self._frames(heard)  # (n, 40, frames)
        counts = partials(length)
        # What is exported must follow the batch, so that this end stays a tensor.
        which = torch.arange(counts.max(), device=length.device)  # type: ignore[call-overload]
        places = which[:, None] * STEP + torch.arange(PARTIAL, device=length.device)
        parts = frames[:, :, places.reshape(-1)].reshape(n, BANDS, -1, PARTIAL)
        parts = parts.permute(0, 2, 3, 1).reshape(-1, PARTIAL, BANDS)
        _, (hidden, _) = self.lstm(parts)
        each = functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)
        each = each.reshape(n, -1, WIDTH)  # (n, partials, 256)
        mask = mask_of(counts, each[:, :, 0])[:, 0, :, None]
        return functional.normalize((each * mask).sum(1), dim=1)

    def _frames(self, heard: Tensor) -> Tensor:
        """Return the power in each band (n, 40, frames), frame i around sample 160 i."""
        before = heard.new_zeros(1, WINDOW // 2).expand(heard.shape[0], -1)
        after = heard.new_zeros(1, PARTIAL * HOP + WINDOW).expand(heard.shape[0], -1)
        padded = torch.cat([before, heard, after], 1)
        spectrum = functional.conv1d(padded[:, None], self.get_buffer("waves"), stride=HOP)
        cosines, sines = spectrum.chunk(2, dim=1)
        return functional.conv1d(cosines.square() + sines.square(), self.get_buffer("bands"))


def partials(length: Tensor) -> Tensor:
    """Return how many partial utterances (n,) clips of so many samples (n,) are cut into."""
    frames = (length + HOP) // HOP  # the next whole number above length / HOP
    counts = ((frames - PARTIAL + STEP + 1).clamp(min=1) + STEP - 1) // STEP
    last = length - (counts - 1) * STEP * HOP
    short = (last < COVERED * PARTIAL * HOP) & (counts > 1)
    return counts - short.to(counts.dtype)


def slaney_bands(sample_rate: int, size: int, bands: int) -> Tensor:
    """Return triangular filters (bands, size // 2 + 1) of equal area, from 0 Hz to the highest.

    Slaney's mel (Auditory Toolbox, 1998): linear below 1 kHz and logarithmic above; what librosa
    computes by default.
    """
    top = 15 + 27 * math.log(sample_rate / 2000) / math.log(6.4)
    mel = torch.linspace(0, top, bands + 2, dtype=torch.float64)
    hertz = torch.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
    bins = torch.arange(size // 2 + 1, dtype=torch.float64) * sample_rate / size
    low, middle, high = hertz[:-2, None], hertz[1:-1, None], hertz[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0) * 2 / (high - low)


def import_voice(
    out: Path,
    samples: LabelledSamples,
    *,
    name: str,
    version: str,
    commands: str,
    notice: str,
    seed: int,
    progress: Progress = lambda *_: None,
) -> Comparator:
    """Write the packaged encoder's bundle to a new folder and return it opened.

    `samples` of speakers, prepared as `INPUT` says, calibrate and measure it and are its cohort.
    Raises FileNotFoundError where the package is not installed.
    """
    module = UtteranceEncoder(packaged_states()).eval()
    embeddings = embed(module, samples.inputs, INPUT, AT_ONCE)
    embedded = Embedded(
        embeddings, samples.labels, samples.groups, samples.drawers, "cosine", np.negative
    )
    calibrated = calibrate(embedded, seed)
    scored = Embedded(
        embeddings,
        samples.labels,
        samples.groups,
        samples.drawers,
        "cosine",
        score_of(calibrated.head),
    )
    return export_bundle(
        out,
        TrainedEncoder(module, INPUT, samples.inputs[:: len(samples) // EXAMPLES][:EXAMPLES]),
        name=name,
        version=version,
        description="Who speaks, by some seconds of speech of one person at a time",
        licence="Apache-2.0",
        distance="cosine",
        normalised=True,
        calibrated=calibrated,
        cohort=embeddings[np.unique(samples.labels, return_index=True)[1]],
        metrics=evaluate(scored, seed, progress),
        provenance=Provenance(sources=(SOURCE,), seed=seed),
        words=Card(use=USE, limits=LIMITS, commands=commands, notice=notice),
    )


def packaged_states() -> dict[str, Tensor]:
    """Return the weights that the installed package carries.

    Raises FileNotFoundError, which says how to install it, where it is not.
    """
    found = importlib.util.find_spec("resemblyzer")
    folders = list(found.submodule_search_locations or ()) if found else []
    files = [Path(folder) / "pretrained.pt" for folder in folders]
    if not files or not files[0].is_file():
        raise FileNotFoundError(
            "the package resemblyzer is not installed: pip install --no-deps resemblyzer"
        )
    states: dict[str, Tensor] = torch.load(files[0], map_location="cpu", weights_only=True)[
        "model_state"
    ]
    return states
