import csv

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from models_store.bundle import open_bundle
from models_store.sample import Degenerate
from tests.bundles import make_bundle
from tests.services import ROOT
from tests.sounds import encoded
from training.diarization import NOBODY, Turn, diarize, error_rate, heard, rttm, turns

VOICE = ROOT / "models_store" / "bundles" / "voice" / "1"
RATE = 16_000


def spoken(text):
    """Each letter is a tenth of a second of somebody, a dot one of nobody."""
    return np.repeat([NOBODY if who == "." else ord(who) - ord("a") for who in text], 10)


def test_turns_are_numbered_by_first_word_and_written_as_other_tools_read_them():
    found = turns(spoken("..bbb.a.bb"))

    assert found == [Turn(0.2, 0.5, 0), Turn(0.6, 0.7, 1), Turn(0.8, 1.0, 0)]
    assert rttm("talk", found).splitlines()[1] == (
        "SPEAKER talk 1 0.60 0.10 <NA> <NA> speaker1 <NA> <NA>"
    )


def test_time_is_missed_alarmed_or_confused_as_a_share_of_speech():
    truth, found = spoken("aaaabbbb.."), spoken("bb..aabba.")

    missed, false_alarm, confused = error_rate(truth, found, collar=0)

    assert (missed, false_alarm, confused) == pytest.approx((2 / 8, 1 / 8, 2 / 8))


def test_what_lies_near_a_change_does_not_count():
    truth, found = spoken("aaaaabbbbb"), spoken("aaaabbbbbb")

    assert sum(error_rate(truth, found, collar=0)) == pytest.approx(0.1)
    assert sum(error_rate(truth, found, collar=0.1)) == 0


@given(st.text("abc.", min_size=1).filter(lambda text: set(text) - {"."}), st.permutations("abc"))
def test_other_names_for_the_same_speakers_are_no_error(text, names):
    other = text.translate(str.maketrans("abc", "".join(names)))

    assert sum(error_rate(spoken(text), spoken(other), collar=0)) == 0


def test_a_short_pause_is_within_a_turn_and_a_long_one_is_not():
    loud = 0.5 * np.sin(np.arange(RATE) / 8).astype(np.float32)
    quiet = np.zeros(RATE, np.float32)
    clip = np.concatenate([loud, quiet[: RATE * 3 // 10], loud, quiet, loud])

    assert [end - start for start, end, _ in turns(np.where(heard(clip, RATE), 0, NOBODY))] == (
        pytest.approx([2.3, 1.0], abs=0.02)
    )


def test_only_sounds_have_speakers(tmp_path):
    with pytest.raises(ValueError, match="expected a comparator of sounds"):
        diarize(open_bundle(make_bundle(tmp_path)), b"")


def test_silence_is_told():
    with pytest.raises(Degenerate, match="silent"):
        diarize(open_bundle(VOICE), encoded(np.zeros(RATE, np.float32), RATE))


@pytest.mark.slow
def test_speakers_of_real_recordings_are_told_apart_and_found_again(shared_data, run, tmp_path):
    folder = shared_data / "librispeech"
    with (folder / "index.tsv").open(newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    clips = [
        soundfile.read(folder / row["path"], dtype="float32")[0]
        for row in [row for row in rows if row["split"] == "val"][:3]
    ]
    parts = [(who, part) for part in range(2) for who in range(3)]
    halves = [np.array_split(clips[who], 2)[part] for who, part in parts]
    truth = np.repeat([who for who, _ in parts], [len(half) for half in halves])[:: RATE // 100]
    recording = tmp_path / "talk.flac"
    soundfile.write(recording, np.concatenate(halves), RATE)

    told = run("diarize", VOICE, recording, "--out", tmp_path / "talk.rttm")

    lines = (tmp_path / "talk.rttm").read_text().splitlines()
    found = np.full(len(truth), NOBODY)
    for line in lines:
        start, length, who = (line.split()[i] for i in (3, 4, 7))
        found[round(100 * float(start)) :][: round(100 * float(length))] = int(who[-1])
    assert "3 speakers" in told
    assert sum(error_rate(truth, found)) < 0.2
    one = np.where(found == NOBODY, NOBODY, 0)
    assert sum(error_rate(truth, found)) < sum(error_rate(truth, one)) / 2
