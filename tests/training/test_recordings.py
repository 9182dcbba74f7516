import numpy as np

from models_store.manifest import AudioInput
from models_store.sample import SampleLimits
from tests.sounds import encoded
from training.datasets import Collection, LabelledFile
from training.recordings import in_pieces

RATE = 4000


def test_recordings_are_cut_into_samples_that_do_not_overlap():
    ramp = np.arange(1, 101, dtype=np.float32) / 128
    sounds = {"long": ramp, "short": ramp[:30], "broken": None}
    files = tuple(
        LabelledFile(name, identity, "all", name)
        for name, identity in (("long", "bo"), ("short", "ann"), ("broken", "bo"))
    )

    def read(name):
        sound = sounds[name]
        return b"?" if sound is None else encoded(sound, RATE, subtype="FLOAT")

    spec = AudioInput(sample_rate=RATE, window=30 / RATE, hop=20 / RATE, shortest=0.001)

    found = in_pieces(Collection(files, read), spec, 40 / RATE, SampleLimits())

    spans = [[(w[0] * 128, w[-1] * 128) for w in sample] for sample in found.inputs]
    assert spans == [[(1, 30), (11, 40)], [(41, 70), (51, 80)], [(1, 30)]]
    assert [found.identities[label] for label in found.labels] == ["bo", "bo", "ann"]
    assert list(found.drawers) == ["long", "long", "short"]
    assert len(found.broken) == 1
    assert "broken: expected audio" in found.broken[0]
