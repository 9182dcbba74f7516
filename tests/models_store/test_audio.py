import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_store.audio import decode, heard, levelled, prepare_audio, windows
from models_store.containers import openable
from models_store.manifest import AudioInput
from models_store.sample import Degenerate, SampleLimits, SampleOutOfBounds, Undecodable, Unusable
from tests.sounds import RATE, encoded, voice

LIMITS = SampleLimits()
SPEC = AudioInput(sample_rate=RATE, window=2, hop=1)
CLEAN = SPEC.model_copy(update={"silence": 50.0, "loudness": -26.0})
QUANTUM = {"PCM_S8": 2**-7, "PCM_16": 2**-15, "PCM_24": 2**-23}
LOSSLESS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAVEX", "PCM_24"),
    ("AIFF", "PCM_16"),
    ("AIFF", "PCM_24"),
    ("AIFF", "FLOAT"),
    ("AIFF", "DOUBLE"),
    ("FLAC", "PCM_S8"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
]


def tone(rate, seconds=1.0):
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(("kind", "subtype"), LOSSLESS)
@pytest.mark.parametrize("rate", [8000, RATE, 44_100, 48_000])
def test_any_depth_and_rate_gives_the_same_sound(kind, subtype, rate):
    clip = decode(encoded(tone(rate), rate, kind, subtype), RATE, LIMITS)

    assert clip.dtype == np.float32
    assert len(clip) == RATE
    middle = slice(RATE // 8, -RATE // 8)  # a resampled edge rings
    apart = np.abs(clip - tone(RATE))[middle].max()
    assert apart <= 2 * QUANTUM.get(subtype, 0) + 1e-6


@pytest.mark.parametrize(("kind", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)])
def test_what_is_compressed_with_loss_sounds_alike(kind, subtype):
    clip = decode(encoded(tone(48_000), 48_000, kind, subtype), RATE, LIMITS)

    assert len(clip) == RATE
    assert np.abs(clip - tone(RATE))[RATE // 8 : -RATE // 8].max() < 0.02


@pytest.mark.parametrize("channels", [2, 3, 8])
def test_channels_are_averaged(channels):
    shares = np.arange(channels) / (channels - 1)  # their mean is a half

    clip = decode(encoded(np.outer(tone(RATE), shares), subtype="FLOAT"), RATE, LIMITS)

    assert np.abs(clip - tone(RATE) / 2).max() < 1e-6


def test_a_long_file_is_resampled_in_blocks_as_it_is_at_once():
    noise = np.random.default_rng(0).normal(0, 0.1, 44_100 * 5)

    short, whole = (
        decode(encoded(part, 44_100, "WAV", "FLOAT"), RATE, LIMITS)
        for part in (noise[: 44_100 * 2], noise)
    )

    assert len(whole) == 5 * RATE
    assert np.abs(whole[: RATE * 2 - 400] - short[:-400]).max() < 1e-6


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.9, 0.999])
def test_a_file_cut_short_gives_its_beginning_or_is_refused(kind, share):
    content = encoded(voice(1), kind=kind)
    whole = decode(content, RATE, LIMITS)

    try:
        found = decode(content[: int(share * len(content))], RATE, LIMITS)
    except Unusable:
        return

    assert kind in ("WAV", "AIFF", "OGG")
    assert len(found) <= len(whole)
    settled = max(0, len(found) - 1024)  # an OGG page ends within a block
    assert found[:settled] == pytest.approx(whole[:settled], abs=1e-6)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        b"RIFF\xff\xff\xff\xffWAVE",
        b"fLaC" + b"\xff" * 60,
        b"OggS" + b"\x00" * 60,
        b"ID3\x04\x00\x00" + b"\xff" * 60,
        b"<svg/>",
        b"\x00" * 5000,
        b"\xff\xfb" * 3000,
    ],
)
def test_what_is_no_audio_is_refused(content):
    with pytest.raises(Undecodable):
        decode(content, RATE, LIMITS)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        *(("WAV", each) for each in ("PCM_U8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM")),
        *(("WAV", each) for each in ("GSM610", "G721_32", "NMS_ADPCM_16")),
        ("WAVEX", "ULAW"),
        *(("AIFF", each) for each in ("ULAW", "ALAW", "IMA_ADPCM", "GSM610", "DWVW_16")),
        *((each, "PCM_16") for each in ("AU", "CAF", "W64", "VOC", "RF64", "SVX")),
    ],
)
@pytest.mark.parametrize("tag", [b"", b"ID3\x04\0\0\0\0\0\3abc"], ids=["plain", "tagged"])
def test_no_library_opens_what_is_not_plain_samples(kind, subtype, tag):
    rate = 8000 if subtype in ("G721_32", "NMS_ADPCM_16", "GSM610") else RATE
    content = encoded(voice(1, rate=rate), rate, kind, subtype)

    with pytest.raises(Undecodable):
        openable(tag + content)


def test_a_second_header_in_a_file_is_not_read():
    content = encoded(voice(1))
    other = encoded(voice(1), subtype="IMA_ADPCM")[12:40]  # its chunk `fmt `

    found = decode(content[:36] + other + content[36:], RATE, LIMITS)

    assert (found == decode(content, RATE, LIMITS)).all()


def test_a_tag_before_a_file_changes_nothing():
    content = encoded(voice(1), kind="MP3")

    found = decode(b"ID3\x04\0\0\0\0\1\0" + b"\xff" * 128 + content, RATE, LIMITS)

    assert (found == decode(content, RATE, LIMITS)).all()


@pytest.mark.parametrize("claimed", [0, 2**32 - 1])
def test_a_recording_that_was_streamed_is_taken_as_far_as_it_goes(claimed):
    content = bytearray(encoded(voice(1)))
    content[40:44] = claimed.to_bytes(4, "little")

    assert (decode(bytes(content), RATE, LIMITS) == decode(encoded(voice(1)), RATE, LIMITS)).all()


@pytest.mark.parametrize("kind", ["AU", "CAF", "W64", "VOC"])
def test_formats_that_are_not_listed_stay_closed(kind):
    with pytest.raises(Undecodable, match="WAV, WAVEX, FLAC"):
        decode(encoded(voice(1), kind=kind, subtype="PCM_16"), RATE, LIMITS)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_decoded_to_finite_numbers_or_refused(data):
    kind = data.draw(st.sampled_from(["WAV", "FLAC", "OGG", "AIFF"]))
    content = bytearray(encoded(voice(2, seconds=0.2), kind=kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, min(len(content) - 1, 200)))] = data.draw(
            st.integers(0, 255)
        )

    try:
        found = prepare_audio(bytes(content), CLEAN, LIMITS)
    except Unusable:
        return

    assert all(np.isfinite(each).all() and len(each) for each in found)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(wrong):
    sound = tone(RATE)
    sound[777] = wrong

    with pytest.raises(Degenerate, match="finite"):
        decode(encoded(sound, subtype="FLOAT"), RATE, LIMITS)


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_numbers_beyond_all_sound_are_refused(rate):
    with pytest.raises(Degenerate, match="finite"):
        decode(encoded(tone(rate) * 1e38, rate, subtype="FLOAT"), RATE, LIMITS)


def test_floats_that_were_integers_are_taken():
    whole = decode(encoded(tone(RATE) * 2**31, subtype="FLOAT"), RATE, LIMITS)

    assert np.abs(whole / 2**31 - tone(RATE)).max() < 1e-6


@pytest.mark.parametrize("rate", [RATE, 44_100])
@pytest.mark.parametrize(
    "sound", [np.zeros(RATE), np.zeros(0), np.full(RATE, 1e-9)], ids=["zeros", "empty", "faint"]
)
def test_silence_is_refused(sound, rate):
    with pytest.raises(Degenerate, match="silent"):
        decode(encoded(sound, rate, subtype="FLOAT"), RATE, LIMITS)


def test_channels_that_cancel_out_are_silence():
    with pytest.raises(Degenerate, match="silent"):
        decode(encoded(np.stack([tone(RATE), -tone(RATE)], 1), subtype="FLOAT"), RATE, LIMITS)


def test_more_channels_than_allowed_are_refused():
    with pytest.raises(SampleOutOfBounds, match="at most 2 channels, got 3"):
        decode(encoded(np.stack([tone(RATE)] * 3, 1)), RATE, SampleLimits(channels=2))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_a_clip_may_last_as_long_as_the_limit_and_no_longer(kind):
    content = encoded(tone(RATE, 0.5), kind=kind)

    decode(content, RATE, SampleLimits(seconds=0.5))
    with pytest.raises(SampleOutOfBounds, match=r"at most 0\.4 seconds of audio, got 0\.5"):
        decode(content, RATE, SampleLimits(seconds=0.4))


def test_a_strange_rate_is_refused():
    content = bytearray(encoded(tone(RATE)))
    content[24:28] = (10**9).to_bytes(4, "little")

    with pytest.raises(SampleOutOfBounds, match="sample rate of 1000 to 384000 Hz"):
        decode(bytes(content), RATE, LIMITS)


def test_a_header_that_claims_hours_costs_nothing():
    content = bytearray(encoded(tone(RATE), kind="FLAC"))
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4  # 2^36 - 1 samples

    with pytest.raises(SampleOutOfBounds, match="at most 120 seconds"):
        decode(bytes(content), RATE, LIMITS)


def test_a_header_that_claims_a_little_more_than_there_is_is_refused():
    content = bytearray(encoded(tone(RATE), kind="FLAC"))
    content[22:26] = (2 * RATE).to_bytes(4, "big")

    with pytest.raises(Undecodable):
        decode(bytes(content), RATE, LIMITS)


@settings(max_examples=30, deadline=None)
@given(
    gain=st.floats(1e-3, 3),
    before=st.integers(0, 3 * RATE),
    after=st.integers(0, 3 * RATE),
    person=st.integers(0, 5),
)
def test_silence_around_a_clip_and_its_loudness_change_nothing(gain, before, after, person):
    clip = voice(person, seconds=0.7)
    more = np.pad(gain * clip, (before, after)).astype(np.float32)

    (plain,) = prepare_audio(encoded(clip, subtype="FLOAT"), CLEAN, LIMITS)
    (found,) = prepare_audio(encoded(more, subtype="FLOAT"), CLEAN, LIMITS)

    assert 0 <= len(found) - len(plain) <= 0.01 * RATE  # the step in which sound ends
    assert found[: len(plain)] == pytest.approx(plain, rel=0.01, abs=1e-4)


def test_silence_between_words_is_cut_out():
    word, pause = voice(1, seconds=0.5), np.zeros(2 * RATE, np.float32)

    found = heard(np.concatenate([word, pause, word]), RATE, 50)

    assert 0.98 * RATE <= len(found) <= 1.02 * RATE


def test_nothing_is_cut_out_of_noise():
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)

    assert (heard(noise, RATE, 50) == noise).all()


def test_a_clip_is_brought_to_the_loudness_asked_for():
    clip = levelled(voice(3) * 1e-4, -26)

    assert 20 * np.log10(np.sqrt(np.mean(clip.astype(np.float64) ** 2))) == pytest.approx(-26)


def test_without_those_fields_a_clip_stays_as_it_is():
    clip = np.pad(0.01 * voice(1), (RATE // 2, RATE // 4))

    (found,) = prepare_audio(encoded(clip, subtype="FLOAT"), SPEC, LIMITS)

    assert found == pytest.approx(clip, abs=1e-7)


def test_too_little_sound_is_refused():
    spec = CLEAN.model_copy(update={"shortest": 0.3})

    with pytest.raises(SampleOutOfBounds, match=r"at least 0\.3 seconds of sound, got 0\.2"):
        prepare_audio(encoded(voice(1, seconds=0.2)), spec, LIMITS)


@settings(deadline=None)
@given(
    frames=st.integers(1, 700),
    window=st.integers(2, 200),
    share=st.floats(0.05, 1),
)
def test_windows_are_of_one_length_and_leave_nothing_out(frames, window, share):
    spec = AudioInput(sample_rate=4000, window=window / 4000, hop=max(1, share * window) / 4000)
    clip = np.arange(1, frames + 1, dtype=np.float32)

    found = windows(clip, spec)

    assert len({len(each) for each in found}) == 1
    assert all(len(each) == min(frames, window) for each in found)
    assert set(np.concatenate(found)) == set(clip)
    assert windows(clip[:1], spec.model_copy(update={"short": "pad"}))[0].shape == (window,)
