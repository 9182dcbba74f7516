import numpy as np
import pytest
import torch

from models_store.manifest import AudioInput
from tests.sounds import RATE, voice
from training.audio_augmentation import record, sound_feed
from training.recipe import SoundAugmentation

SPEC = AudioInput(sample_rate=RATE, window=2, hop=1)
STILL = SoundAugmentation(seconds=(3.0, 3.0))


def batch(count=4, seconds=1.0):
    sounds = torch.from_numpy(np.stack([voice(i, seconds=seconds) for i in range(count)]))
    return sounds, torch.full((count,), sounds.shape[1])


def power(sounds, length):
    return sounds.square().sum(1) / length


def share_above(sound, hertz):
    spectrum = torch.fft.rfft(sound).abs().square()
    places = torch.linspace(0, RATE / 2, len(spectrum))
    return float(spectrum[places > hertz].sum() / spectrum.sum())


def test_no_augmentation_changes_nothing():
    samples = [(voice(i, seconds=0.3 + 0.1 * i),) for i in range(4)]
    feed = sound_feed(samples, np.arange(4), SPEC, STILL)

    waveform, length = feed(np.array([2, 0, 3]))

    assert length.tolist() == [len(samples[i][0]) for i in (2, 0, 3)]
    for row, i in zip(waveform, (2, 0, 3), strict=True):
        sound = samples[i][0]
        assert row[: len(sound)].numpy() == pytest.approx(sound, abs=1e-5)
        assert not row[len(sound) :].any()


@pytest.mark.parametrize(
    "how",
    [
        SoundAugmentation(noise=(10, 10), noisy=1),
        SoundAugmentation(equaliser=9),
        SoundAugmentation(narrow=1),
    ],
    ids=["noise", "equaliser", "narrow"],
)
def test_a_clip_changes_but_keeps_its_power_and_its_end(how):
    torch.manual_seed(0)
    sounds, length = batch()
    sounds += 0.03 * torch.randn(sounds.shape)  # something at every frequency
    length[1] = RATE // 2
    sounds[1, RATE // 2 :] = 0

    changed = record(sounds, length, RATE, how)

    assert ((changed - sounds).abs().amax(1) > 0.01).all()
    assert torch.allclose(power(changed, length), power(sounds, length), rtol=1e-3)
    assert not changed[1, RATE // 2 :].any()


def test_noise_lies_as_far_below_the_sound_as_asked():
    torch.manual_seed(0)
    sounds, length = batch(32)

    changed = record(sounds, length, RATE, SoundAugmentation(noise=(20, 20), noisy=1))

    # What is left of the sound is its projection; the rest is noise.
    kept = (changed * sounds).sum(1, keepdim=True) / sounds.square().sum(1, keepdim=True)
    below = 10 * torch.log10(power(kept * sounds, length) / power(changed - kept * sounds, length))
    assert float(below.median()) == pytest.approx(20, abs=1)


def test_a_telephone_lets_nothing_through_above_its_band():
    torch.manual_seed(0)
    noise = torch.randn(3, RATE)

    changed = record(noise, torch.full((3,), RATE), RATE, SoundAugmentation(narrow=1))

    assert share_above(noise[0], 4100) > 0.4
    assert all(share_above(row, 4100) < 0.01 for row in changed)


def test_another_speed_is_another_row_whose_pitch_is_higher():
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    how = SoundAugmentation(speeds=(1.0, 1.25), seconds=(0.5, 0.5))
    feed = sound_feed([(tone,), (tone,)], np.arange(2), SPEC, how)

    waveform, length = feed(np.array([1, 3]))

    assert length.tolist() == [RATE // 2] * 2
    peaks = torch.fft.rfft(waveform).abs().argmax(1) * 2  # Hz, of half a second
    assert peaks.tolist() == [1000, 1250]


def test_a_short_clip_is_joined_by_others_of_its_identity_alone():
    samples = [(np.full(100, i + 1, np.float32),) for i in range(6)]
    how = SoundAugmentation(joined=1, seconds=(0.05, 0.05))
    feed = sound_feed(samples, np.array([0, 1, 0, 1, 0, 1]), SPEC, how)

    waveform, length = feed(np.array([0]))

    assert length.tolist() == [800]
    parts = set((waveform[0] / waveform[0].abs().min()).round().int().tolist())
    assert parts <= {1, 3, 5}
    assert len(parts) > 1


def test_one_seed_gives_one_batch():
    samples = [(voice(i),) for i in range(4)]
    how = SoundAugmentation(
        seconds=(0.3, 0.9), joined=0.5, equaliser=6, noisy=0.5, narrow=0.5, speeds=(1, 0.9)
    )
    feed = sound_feed(samples, np.arange(4), SPEC, how)

    torch.manual_seed(3)
    first = feed(np.arange(8))
    torch.manual_seed(3)
    again = feed(np.arange(8))

    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
