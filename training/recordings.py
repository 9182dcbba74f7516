"""Recordings that are longer than a sample should be."""

from functools import partial

import numpy as np

from models_store.audio import prepare_audio, windows
from models_store.manifest import AudioInput
from models_store.sample import SampleLimits
from training.datasets import Collection, LabelledSamples, Progress


def in_pieces(
    collection: Collection,
    spec: AudioInput,
    seconds: float,
    limits: SampleLimits,
    progress: Progress = iter,
) -> LabelledSamples:
    """Return a collection's samples, recordings longer than so many seconds cut into several.

    Each is as an encoder of `spec` gets it. What is left over at a recording's end is left out.
    """
    longer = spec.model_copy(update={"window": seconds, "hop": seconds})
    read = collection.samples(partial(prepare_audio, spec=longer, limits=limits), progress)
    # The last of several windows reaches back into the one before.
    whole = [sample[: max(1, len(sample) - 1)] for sample in read.inputs]
    rows = np.repeat(np.arange(len(read)), [len(pieces) for pieces in whole])
    return LabelledSamples(
        tuple(windows(piece, spec) for pieces in whole for piece in pieces),
        read.labels[rows],
        read.groups[rows],
        read.drawers[rows],
        read.identities,
        read.group_names,
        read.broken,
    )
