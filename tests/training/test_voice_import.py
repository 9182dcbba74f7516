"""The rebuilt GE2E encoder against plain arithmetic, and as a bundle if the package is there."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from typer.testing import CliRunner

from models_store.bundle import open_bundle
from models_store.sample import Sample
from tests.sounds import RATE, encoded, voice
from training.__main__ import app
from training.networks import embed
from training.voice_import import (
    INPUT,
    UtteranceEncoder,
    packaged_states,
    partials,
    slaney_bands,
)

PARITY = 1e-4

RECIPE = """
name = "voice"
version = "1"
description = "Synthesised voices"
licence = "Apache-2.0"
seed = 7
[data]
name = "Synthesised"
licence = "CC0-1.0"
url = "https://example.org"
root = "."
[[data.tables]]
file = "index.tsv"
[input]
kind = "audio"
sample_rate = 16000
window = 2
hop = 1
[network]
kind = "tdnn"
dimension = 8
[batches]
labels = 2
samples = 2
[[losses]]
kind = "supcon"
[optimisation]
epochs = 1
learning_rate = 1e-3
"""


@pytest.fixture(scope="module")
def states():
    try:
        return packaged_states()
    except FileNotFoundError as error:
        pytest.skip(str(error))


def as_published(sound, states):
    """Return what the package computes of a sound (time,), step by step in float64."""
    frames_in_all = int(np.ceil((len(sound) + 1) / 160))
    starts = list(range(0, max(1, frames_in_all - 160 + 77 + 1), 77))
    covered = (len(sound) - 160 * starts[-1]) / (160 * 160)
    if covered < 0.75 and len(starts) > 1:
        starts = starts[:-1]
    padded = np.pad(sound.astype(np.float64), (200, 160 * 160 + 400))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    mel = slaney_bands(RATE, 400, 40).numpy()
    frames = np.stack(
        [
            mel @ np.abs(np.fft.rfft(window * padded[160 * i : 160 * i + 400])) ** 2
            for i in range(starts[-1] + 160)
        ]
    )
    lstm = torch.nn.LSTM(40, 256, 3, batch_first=True).double()
    lstm.load_state_dict(
        {name.removeprefix("lstm."): v for name, v in states.items() if name.startswith("lstm.")}
    )
    parts = torch.from_numpy(np.stack([frames[start : start + 160] for start in starts]))
    with torch.inference_mode():
        _, (hidden, _) = lstm(parts)
        raw = hidden[-1] @ states["linear.weight"].double().T + states["linear.bias"].double()
        each = functional.normalize(raw.relu(), dim=1)
    return functional.normalize(each.mean(0), dim=0).numpy()


@pytest.mark.parametrize("frames", [1600, 25_599, 25_600, 30_000, 37_920, 45_000, 80_001])
def test_the_rebuilt_encoder_is_the_published_one(states, frames):
    sound = np.random.default_rng(frames).normal(0, 0.03, frames).astype(np.float32)

    (found,) = embed(UtteranceEncoder(states), [(sound,)], INPUT)

    assert np.abs(found - as_published(sound, states)).max() <= PARITY


def test_padding_never_changes_an_embedding(states):
    encoder = UtteranceEncoder(states)
    clips = [(voice(i, seconds=0.2 + i),) for i in range(4)]

    together, apart = embed(encoder, clips, INPUT), embed(encoder, clips, INPUT, at_once=1)

    assert together == pytest.approx(apart, abs=1e-5)


@pytest.mark.parametrize(
    ("seconds", "count"), [(0.1, 1), (1.6, 1), (1.9, 1), (1.98, 2), (2.4, 2), (3.0, 3), (16, 20)]
)
def test_utterances_are_cut_into_parts_that_are_covered_to_three_quarters(seconds, count):
    assert partials(torch.tensor([round(seconds * RATE)])).tolist() == [count]


def test_bands_of_slaney_have_equal_area():
    bands = slaney_bands(RATE, 4096, 40)  # so fine that a sum is an integral

    areas = bands.sum(1) * RATE / 4096
    assert areas.numpy() == pytest.approx(1, abs=0.02)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(FileNotFoundError, match="pip install --no-deps resemblyzer"):
        packaged_states()


@pytest.mark.slow
def test_one_command_makes_a_bundle_that_embeds_as_published(states, tmp_path):
    lines = ["path\tspeaker\tsplit"]
    for person in range(12):
        for take in range(4):
            name = f"{person}_{take}.wav"
            (tmp_path / name).write_bytes(
                encoded(voice(person, take, seconds=1 + (person + take) % 4 / 2))
            )
            lines.append(f"{name}\tp{person}\tval")
    (tmp_path / "index.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "voice.toml").write_text(RECIPE)

    done = CliRunner().invoke(
        app,
        [
            "import-voice",
            *("--data", str(tmp_path), "--recipe", str(tmp_path / "voice.toml")),
            *("--out", str(tmp_path / "ge2e")),
        ],
    )

    assert done.exit_code == 0, done.output
    comparator = open_bundle(tmp_path / "ge2e")
    assert len(comparator.cohort) == 12
    assert {metric.name for metric in comparator.manifest.metrics} >= {"eer", "auc"}
    (sound,) = inputs = comparator.prepare(Sample(encoded(voice(3, 1, seconds=2.5))))
    (found,) = comparator.embed([inputs])
    assert np.abs(found - as_published(sound, states)).max() <= PARITY
