import numpy as np
import pytest
import torch

from models_store.manifest import AudioInput
from tests.sounds import RATE, voice
from training.audio_networks import LogMelFrames
from training.audio_statistics import (
    AloneEncoder,
    JoinedEncoder,
    fit_statistics,
    summary,
    with_statistics,
)
from training.datasets import LabelledSamples
from training.networks import build, embed
from training.recipe import Export, Recipe
from training.shapes import CnnLstmNetwork, LogMel, TdnnNetwork

SPEC = AudioInput(sample_rate=RATE, window=1, hop=0.5)
FRAMES = LogMel(bands=24)
NETWORK = TdnnNetwork(frames=FRAMES, width=16, joined=24, attention=8, dimension=12)
PEOPLE = 12


@pytest.fixture(scope="module")
def recipe():
    return Recipe.model_construct(input=SPEC, network=NETWORK, export=Export(statistics=10))


@pytest.fixture(scope="module")
def samples():
    random = np.random.default_rng(0)
    clips = [
        (voice(p, take) + random.normal(0, 0.003, RATE).astype(np.float32),)
        for p in range(PEOPLE)
        for take in range(4)
    ]
    labels = np.repeat(np.arange(PEOPLE), 4)
    return LabelledSamples(
        tuple(clips),
        labels,
        np.zeros(len(labels), np.int64),
        np.full(len(labels), ""),
        tuple(f"{p:02}" for p in range(PEOPLE)),
        ("",),
    )


def test_statistics_are_mean_and_deviation_of_what_is_no_padding():
    frames = torch.randn(2, 5, 30)
    mask = torch.ones(2, 1, 30)
    mask[1, :, 10:] = 0

    found = summary(frames * mask, mask)

    assert torch.allclose(found[0, :5], frames[0].mean(1), atol=1e-5)
    assert torch.allclose(found[1, 5:], frames[1, :, :10].std(1, correction=0), atol=1e-4)


def test_the_map_draws_clips_of_one_voice_together(samples, recipe):
    frames = LogMelFrames(RATE, FRAMES)

    found = fit_statistics(frames, samples, recipe, 10)

    embeddings = embed(AloneEncoder(frames, found), samples.inputs, SPEC)
    alike = embeddings @ embeddings.T
    same = samples.labels[:, None] == samples.labels
    assert embeddings.shape == (len(samples), 10)
    assert alike[same].mean() > 0.9
    assert alike[~same].mean() < 0.3


def test_half_of_a_likeness_is_the_networks_and_half_that_of_statistics(samples, recipe):
    torch.manual_seed(0)
    network = build(NETWORK, SPEC).eval()

    joined = with_statistics(network, samples, recipe)

    assert isinstance(joined, JoinedEncoder)
    both, one, other = (
        embed(encoder, samples.inputs[:6], SPEC)
        for encoder in (joined, network, AloneEncoder(network.frames, joined.of_statistics))
    )
    assert both @ both.T == pytest.approx((one @ one.T + other @ other.T) / 2, abs=1e-5)


def test_a_network_that_has_no_such_frames_is_refused(samples, recipe):
    other = build(CnnLstmNetwork(frames=FRAMES, dimension=4), SPEC)

    with pytest.raises(TypeError, match="statistics go with a network of kind tdnn"):
        with_statistics(other, samples, recipe)
