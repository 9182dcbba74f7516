"""Who spoke when in a recording: pieces of it are embedded, and those that are alike are one's."""

import io
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
from scipy.optimize import linear_sum_assignment

from index.clustering import linkage
from index.gallery import Embeddings, distances
from models_store.audio import Waveform, decode
from models_store.comparator import Comparator
from models_store.manifest import AudioInput
from models_store.sample import Sample, SampleLimits, Unusable

PIECE, HOP = 1.5, 0.25  # s: enough to know a voice by, and shorter than most turns
BRIEFEST = 1.0  # s; who is heard for less is two voices at once, at a change of speakers
PAUSE = 0.5  # s of silence within which a turn goes on
QUIET = 35.0  # dB below the loudest hundredth of the recording
STEPS = 100  # a second
NOBODY = -1

EVEN_ODDS = 0.5
"""The score from which two pieces are one voice: where few talk, many pairs are of one of them.
What a bundle was measured to cluster by is for many identities, and would take a voice apart."""

Spoken = npt.NDArray[np.int64]
"""Who speaks at each hundredth of a second (n,), counted from 0; -1 for nobody."""


class Turn(NamedTuple):
    """Somebody, counted from 0 by first word, speaks from one time to another, in seconds."""

    start: float
    end: float
    speaker: int


class ErrorRate(NamedTuple):
    """Shares of the time that somebody speaks: of nobody said to, and of the wrong one said to.

    And `false_alarm`, the time that somebody is said to speak when nobody does, as a share of the
    same. Their sum is the diarization error rate (NIST, Rich Transcription evaluation plan, 2009).
    """

    missed: float
    false_alarm: float
    confused: float


def diarize(
    comparator: Comparator, recording: bytes, threshold: float = EVEN_ODDS, longest: float = 7200.0
) -> Spoken:
    """Return who speaks when in a recording of up to `longest` seconds, one voice at a time.

    `threshold` is the score from which two pieces are of one voice. Raises Unusable if the
    recording cannot be decoded, is silent or too long, and ValueError of a comparator of others
    than sounds.
    """
    spec = comparator.manifest.encoders["a"].input
    if not isinstance(spec, AudioInput):
        raise ValueError(f"expected a comparator of sounds, {comparator.title} is none")  # noqa: TRY004 - the bundle's value
    clip = decode(recording, spec.sample_rate, SampleLimits(seconds=longest))
    speech = heard(clip, spec.sample_rate)
    pieces = list(_pieces(comparator, clip, speech, spec.sample_rate))
    if not pieces:
        return np.full(len(speech), NOBODY)
    middles = np.array([at for at, _ in pieces])
    embeddings = np.stack([embedding for _, embedding in pieces])
    metric = comparator.manifest.distance
    found = linkage(embeddings, comparator.score, threshold, metric=metric)
    labels = _without_the_briefest(np.array(found.labels), embeddings, comparator)
    times = (np.arange(len(speech)) + 0.5) / STEPS
    nearest = np.searchsorted((middles[1:] + middles[:-1]) / 2, times)
    return np.where(speech, labels[nearest], NOBODY)


def heard(clip: Waveform, sample_rate: int) -> npt.NDArray[np.bool_]:
    """Return at which hundredths of a second of a clip (time,) somebody is heard, pauses too."""
    step = sample_rate // STEPS
    power = np.square(np.pad(clip, (0, -len(clip) % step)), dtype=np.float64)
    power = power.reshape(-1, step).mean(axis=1)
    loud: npt.NDArray[np.bool_] = power > np.quantile(power, 0.99) * 10 ** (-QUIET / 10)
    for start, end, speaks in runs(loud.astype(np.int64)):
        within = start > 0 and end < len(loud)
        if within and not speaks and end - start <= PAUSE * STEPS:
            loud[start:end] = True
    return loud


def turns(spoken: Spoken) -> list[Turn]:
    """Return who takes which turn, speakers counted anew by their first."""
    numbers: dict[int, int] = {}
    return [
        Turn(start / STEPS, end / STEPS, numbers.setdefault(who, len(numbers)))
        for start, end, who in runs(spoken)
        if who != NOBODY
    ]


def rttm(name: str, taken: Sequence[Turn]) -> str:
    """Return turns as NIST's Rich Transcription Time Marked text, which other tools read."""
    return "".join(
        f"SPEAKER {name} 1 {turn.start:.2f} {turn.end - turn.start:.2f} <NA> <NA> "
        f"speaker{turn.speaker} <NA> <NA>\n"
        for turn in taken
    )


def error_rate(truth: Spoken, found: Spoken, collar: float = 0.25) -> ErrorRate:
    """Return how much of the time is told wrongly (n,), found speakers named as fits best.

    Within `collar` seconds of a change in the truth nothing counts: nobody could say to the
    hundredth when one voice ends. Raises ValueError if nobody speaks in what counts.
    """
    near = round(collar * STEPS)
    counts = np.ones(len(truth), bool)
    for start, _, _ in runs(truth):
        if start:
            counts[max(0, start - near) : start + near] = False
    truth, found = truth[counts], found[counts]
    speaks, said = truth != NOBODY, found != NOBODY
    if not speaks.any():
        raise ValueError("expected somebody to speak")
    both = speaks & said
    together = np.zeros((truth.max() + 1, found.max(initial=0) + 1), np.int64)
    np.add.at(together, (truth[both], found[both]), 1)
    right = together[linear_sum_assignment(together, maximize=True)].sum()
    total = np.count_nonzero(speaks)
    return ErrorRate(
        missed=np.count_nonzero(speaks & ~said) / total,
        false_alarm=np.count_nonzero(said & ~speaks) / total,
        confused=(np.count_nonzero(both) - int(right)) / total,
    )


def runs(values: Spoken) -> Iterator[tuple[int, int, int]]:
    """Yield where each run of one value starts and ends in an array (n,), and the value."""
    changes = np.flatnonzero(np.diff(values)) + 1
    bounds = [0, *changes.tolist(), len(values)]
    for start, end in pairwise(bounds):
        if start < end:
            yield start, end, int(values[start])


def _pieces(
    comparator: Comparator, clip: Waveform, speech: npt.NDArray[np.bool_], sample_rate: int
) -> Iterator[tuple[float, npt.NDArray[np.float32]]]:
    """Yield the middle, in seconds, and the embedding (d,) of each piece that is mostly speech."""
    last = max(0.0, len(clip) / sample_rate - PIECE)
    for start in np.arange(0.0, last + HOP / 2, HOP).tolist():
        end = start + PIECE
        if speech[round(start * STEPS) : round(end * STEPS)].mean() < 0.5:
            continue
        piece = clip[round(start * sample_rate) : round(end * sample_rate)]
        try:
            prepared = comparator.prepare(Sample(_wave(piece, sample_rate)))
            (embedding,) = comparator.embed([prepared])
        except Unusable:
            continue
        yield (start + end) / 2, embedding


def _wave(clip: Waveform, sample_rate: int) -> bytes:
    written = io.BytesIO()
    soundfile.write(written, clip, sample_rate, "FLOAT", format="WAV")
    return written.getvalue()


def _without_the_briefest(
    labels: Spoken, embeddings: Embeddings, comparator: Comparator
) -> Spoken:
    """Return labels (n,) of embeddings (n, d), those of brief speakers given to the most alike."""
    counts = np.bincount(labels)
    lasting = np.flatnonzero(counts * HOP >= min(BRIEFEST, counts.max() * HOP))
    far = distances(embeddings, embeddings, comparator.manifest.distance)
    means = np.stack([far[:, labels == one].mean(axis=1) for one in lasting], axis=1)
    brief = ~np.isin(labels, lasting)
    return np.where(brief, lasting[means.argmin(axis=1)], labels)
