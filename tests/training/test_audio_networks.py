import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from models_store.manifest import AudioInput, ImageInput
from tests.sounds import RATE, voice
from training.audio_networks import (
    AttentiveStatistics,
    LogMelFrames,
    MaskedNorm,
    mask_of,
    mel_bands,
)
from training.export import PARITY, TrainedEncoder, encoder_graph
from training.networks import build, embed
from training.shapes import CnnLstmNetwork, LogMel, RawWaveNetwork, TdnnNetwork

SPEC = AudioInput(sample_rate=RATE, window=1, hop=0.5)
FRAMES = LogMel(bands=24)
NETWORKS = {
    "tdnn": TdnnNetwork(frames=FRAMES, width=16, joined=24, attention=8, dimension=12),
    "cnn-lstm": CnnLstmNetwork(frames=FRAMES, widths=(16, 16), hidden=12, dimension=12),
    "raw-wave": RawWaveNetwork(widths=(8, 12, 12), dimension=12),
}


@pytest.fixture(scope="module", params=NETWORKS)
def encoder(request):
    """An encoder whose normalisations have seen something, as after a fit."""
    torch.manual_seed(0)
    encoder = build(NETWORKS[request.param], SPEC)
    sounds = torch.from_numpy(np.stack([voice(i) for i in range(8)]))
    encoder.train()
    for _ in range(30):
        encoder(sounds, torch.full((8,), RATE))
    return encoder.eval()


def embedded(encoder, sound, padding=()):
    waveform = torch.tensor(np.concatenate([sound, padding]), dtype=torch.float32)
    with torch.inference_mode():
        return encoder(waveform[None], torch.tensor([len(sound)])).numpy()[0]


def test_embeddings_have_norm_1_and_tell_voices_apart(encoder):
    sounds = [(voice(i),) for i in range(5)]

    found = embed(encoder, sounds, SPEC)

    assert found.shape == (5, 12)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.abs(found - found[0])[1:].max(1).min() > 1e-3


@settings(max_examples=25, deadline=None)
@given(
    frames=st.integers(1, 9000),
    padding=st.integers(0, 9000),
    rubbish=st.floats(-1, 1),
    person=st.integers(0, 3),
)
def test_padding_never_changes_an_embedding(encoder, frames, padding, rubbish, person):
    sound = voice(person)[:frames] + np.float32(1e-3)

    alone, padded = embedded(encoder, sound), embedded(encoder, sound, [rubbish] * padding)

    assert alone == pytest.approx(padded, abs=1e-5)


def test_clips_of_many_lengths_share_a_batch(encoder):
    clips = [(voice(i, seconds=0.1 + 0.15 * i),) for i in range(6)]

    together, apart = embed(encoder, clips, SPEC), embed(encoder, clips, SPEC, at_once=1)

    assert together == pytest.approx(apart, abs=1e-5)


def test_a_long_clip_has_the_same_embedding_every_time(encoder):
    sound = voice(1, seconds=30)

    assert (embedded(encoder, sound) == embedded(encoder, sound)).all()


def test_training_looks_at_no_padding_either(encoder):
    encoder.train()
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    sounds = torch.from_numpy(np.stack([voice(i) for i in range(4)]))
    length = torch.tensor([RATE, RATE // 2, RATE // 3, RATE // 5])
    rubbish = torch.cat([sounds, torch.ones(4, 5000)], 1)

    plain = encoder(sounds * mask_of(length, sounds)[:, 0], length)
    seen = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.load_state_dict(state)
    padded = encoder(rubbish, length)

    assert torch.allclose(plain, padded, atol=1e-4)
    for name, value in encoder.state_dict().items():
        assert torch.allclose(value, seen[name], atol=1e-4), name
    encoder.load_state_dict(state)
    encoder.eval()


def test_onnx_runtime_embeds_any_length_as_torch_does(encoder):
    example = [(voice(i, seconds=0.5 + i / 3),) for i in range(2)]
    graph = encoder_graph(TrainedEncoder(encoder, SPEC, example))
    session = onnxruntime.InferenceSession(graph.SerializeToString())

    for lengths in ([1], [399, 400], [16_000, 5, 8_001], [100_000]):
        clips = [voice(i, seconds=n / RATE) + np.float32(1e-3) for i, n in enumerate(lengths)]
        waveform = np.zeros((len(clips), max(lengths)), np.float32)
        for row, clip in zip(waveform, clips, strict=True):
            row[: len(clip)] = clip
        given = {"waveform": waveform, "length": np.array(lengths)}
        (found,) = session.run(None, given)
        with torch.inference_mode():
            expected = encoder(*map(torch.from_numpy, given.values())).numpy()
        assert np.abs(found - expected).max() <= PARITY


def test_log_mel_frames_are_those_of_a_short_time_fourier_transform():
    sound = torch.from_numpy(voice(2))
    how = LogMel()
    frames, mask = LogMelFrames(RATE, how)(sound[None], torch.tensor([RATE]))

    window = torch.hann_window(400)
    parts = functional.pad(sound, (0, 400)).unfold(0, 400, 160)[:100]
    spectrum = torch.fft.rfft(parts * window, 512).T
    logs = torch.log(mel_bands(RATE, 512, 64, 60, 7600).float() @ spectrum.abs() ** 2 + 1e-6)

    assert int(mask.sum()) == 100
    assert torch.allclose(frames[0, :, :100], logs - logs.mean(), atol=2e-3)


def test_loudness_does_not_count():
    frames = LogMelFrames(RATE, LogMel())
    noise = torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))

    soft, loud = (frames(gain * noise, torch.tensor([RATE]))[0] for gain in (0.1, 1.0))

    assert torch.allclose(soft, loud, atol=1e-3)


def test_mel_bands_peak_one_after_the_other_and_none_is_empty():
    bands = mel_bands(RATE, 512, 40, 60, 7600)

    assert (bands.sum(1) > 0).all()
    assert (bands.argmax(1).diff() > 0).all()
    assert 0 < float(bands.max()) <= 1


def test_masked_normalisation_of_whole_clips_is_batch_normalisation():
    maps = torch.randn(6, 5, 40) * 3 + 1
    ours, theirs = MaskedNorm(5), torch.nn.BatchNorm1d(5)

    for _ in range(3):
        found, expected = ours(maps, torch.ones(6, 1, 40)), theirs(maps)

    assert torch.allclose(found, expected, atol=1e-4)
    assert torch.allclose(ours.running_mean, theirs.running_mean, atol=1e-5)
    assert torch.allclose(ours.running_var, theirs.running_var, rtol=0.01)


def test_attention_that_favours_nothing_pools_mean_and_deviation():
    pool = AttentiveStatistics(5, 3)
    torch.nn.init.zeros_(pool.weigh.weight)
    maps = torch.randn(2, 5, 30)

    found = pool(maps, mask_of(torch.tensor([30, 12]), maps))

    part = maps[1, :, :12]
    assert torch.allclose(found[1, :5], part.mean(1), atol=1e-5)
    assert torch.allclose(found[1, 5:], part.std(1, correction=0), atol=1e-4)


def test_a_network_of_sound_takes_no_picture():
    with pytest.raises(ValueError, match="tdnn takes no image"):
        build(NETWORKS["tdnn"], ImageInput(width=16, height=16))
