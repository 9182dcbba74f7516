import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_store.manifest import AudioInput, ImageInput, TextInput
from models_store.preparation import embed_windows, together

AUDIO = AudioInput(sample_rate=8000, window=1, hop=0.5)
TEXT = TextInput(max_tokens=16)


class Recorder:
    """Embeds a window as its mean and its length; remembers the lengths of each run."""

    def __init__(self):
        self.runs = []

    def __call__(self, windows):
        self.runs.append([len(window) for window in windows])
        return np.array([[window.mean(), len(window)] for window in windows], np.float32)


def prepared(*samples):
    return [tuple(np.full(length, float(length), np.float32) for length in s) for s in samples]


samples = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=12)


@given(samples, st.integers(1, 7), st.booleans())
def test_every_sample_gets_the_mean_of_its_windows_in_whatever_runs(lengths, most, differ):
    run = Recorder()

    found = embed_windows(
        prepared(*lengths), run, most=most, lengths_may_differ=differ, normalised=False
    )

    assert found == pytest.approx(np.array([[np.mean(own)] * 2 for own in lengths]), rel=1e-5)
    assert max(map(len, run.runs)) <= most
    assert differ or all(len(set(lengths)) == 1 for lengths in run.runs)


def test_the_mean_of_windows_has_norm_1_again_where_the_comparator_normalises():
    whole = embed_windows(
        prepared([3, 4], [5]), Recorder(), most=8, lengths_may_differ=True, normalised=True
    )

    assert np.linalg.norm(whole[0]) == pytest.approx(1)


def test_shorter_windows_are_filled_up_and_told_apart():
    long, short = np.ones(5, np.float32), np.ones(2, np.float32)

    audio = together(AUDIO, [long, short])
    text = together(TEXT, [long.astype(np.int64), short.astype(np.int64)])

    assert audio["waveform"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert audio["length"].tolist() == [5, 2]
    assert text["input_ids"].tolist() == audio["waveform"].tolist()
    assert text["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]


def test_images_are_stacked():
    spec = ImageInput(width=8, height=8)

    assert together(spec, [np.zeros(spec.shape, np.float32)] * 3)["image"].shape == (3, 3, 8, 8)
