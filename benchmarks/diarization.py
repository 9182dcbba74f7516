"""Who spoke when, in talks put together from real clips: python -m benchmarks.diarization DATA."""

import argparse
import csv
import io
from pathlib import Path

import numpy as np
import soundfile

from models_store.bundle import open_bundle
from training.diarization import NOBODY, STEPS, ErrorRate, Spoken, diarize, error_rate, turns

RATE = 16_000
TURNS = 3  # of each speaker


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("data", type=Path, help="a folder with index.tsv: path, speaker, split")
    asked.add_argument("--bundle", type=Path, default=Path("models_store/bundles/voice/1"))
    asked.add_argument("--speakers", type=int, nargs="*", default=[1, 2, 3, 4, 6])
    asked.add_argument("--talks", type=int, default=6, help="of each number of speakers")
    options = asked.parse_args()
    comparator = open_bundle(options.bundle)
    with (options.data / "index.tsv").open(newline="") as table:
        rows = csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)
        clips = [
            soundfile.read(options.data / row["path"], dtype="float32")[0]
            for row in rows
            if row["split"] == "val"
        ]
    print(f"{comparator.title}, {options.talks} talks a line, of {len(clips)} speakers")
    print("| speakers | found | missed | false alarm | confused | all as one speaker |")
    print("|---|---|---|---|---|---|")
    for number in options.speakers:
        random = np.random.default_rng(number)
        told, counted, baseline = [], [], []
        for _ in range(options.talks):
            recording, truth = talk(clips, number, random)
            found = diarize(comparator, recording)[: len(truth)]
            told.append(error_rate(truth[: len(found)], found))
            counted.append(len({turn.speaker for turn in turns(found)}))
            one = np.where(found == NOBODY, NOBODY, 0)
            baseline.append(sum(error_rate(truth[: len(found)], one)))
        rates = [f"{100 * rate:.1f} %" for rate in ErrorRate(*np.mean(told, axis=0))]
        print(
            f"| {number} | {np.mean(counted):.1f} | {' | '.join(rates)} "
            f"| {100 * np.mean(baseline):.1f} % |",
            flush=True,
        )


def talk(
    clips: list[np.ndarray], number: int, random: np.random.Generator
) -> tuple[bytes, Spoken]:
    """Return a recording in which so many take turns, in another order each round, and who."""
    speakers = random.choice(len(clips), number, replace=False)
    order = [who for _ in range(TURNS) for who in random.permutation(number)]
    parts = [np.array_split(clips[speaker], TURNS) for speaker in speakers]
    said = [parts[who].pop(0) for who in order]
    written = io.BytesIO()
    soundfile.write(written, np.concatenate(said), RATE, format="FLAC")
    truth = np.repeat(order, [len(each) for each in said])[:: RATE // STEPS]
    return written.getvalue(), truth


if __name__ == "__main__":
    main()
