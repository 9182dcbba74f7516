"""Evaluate labelled embeddings, in a process of its own: `python -m evaluation FOLDER`.

FOLDER holds

- `samples.npz` (no pickles): `embeddings` float32 (n, d) and `identities` str (n,); optionally
  `groups` str (n,), such as alphabets or sites, `drawers` str (n,), who or what made a sample,
  and `names` str (n,), the files' names.
- `request.json`: `{"bundle": folder of the comparator's bundle or null,
  "metric": "cosine" | "l2" | "l1", "head": {"weight": …, "bias": …} where there is no bundle,
  "title"?: str, "seed"?: 0, "calibrate"?: false, "warnings"?: [str]}`. With a
  bundle, `metric` and `head` may be left out; its rule, posterior, genuine scores, cluster cut and
  cohort are used as served. `warnings` are told among the report's.
- optionally `pictures/<row>.png`, thumbnails of samples.

It writes, each whole or not at all,

- `report.json`: `evaluation.report.Report`;
- `report.html`: the same for people, one file without links to anywhere;
- with `calibrate`, `calibration.json`: `models_store.manifest.Calibration`, made from these
  samples. It is not written where they are too few; the report's warnings then say why.

The same folder gives the same files, byte by byte. Progress goes to standard error as lines of
`{"stage": str, "share": 0…1}`, where `share` is of the whole. Exit status 0 says that the files
are there. What cannot be evaluated ends with status 2 and, as the last line of standard error,
`{"detail": what was expected and what came}`.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from evaluation.engine import evaluate
from evaluation.page import page
from evaluation.recalibration import recalibrate
from evaluation.report import Report
from evaluation.samples import NotEvaluable, Samples, read_request, read_samples

CANNOT_BE_EVALUATED = 2


def main(arguments: list[str]) -> int:
    """Evaluate the folder named, and return the exit status."""
    if len(arguments) != 1:
        _tell({"detail": f"expected one folder, got {len(arguments)} arguments"})
        return CANNOT_BE_EVALUATED
    try:
        evaluate_folder(Path(arguments[0]))
    except NotEvaluable as error:
        _tell({"detail": str(error)})
        return CANNOT_BE_EVALUATED
    return 0


def evaluate_folder(folder: Path) -> None:
    """Write what the module's caption says, or raise NotEvaluable."""
    request = read_request(folder)
    samples = read_samples(folder, request)
    report = evaluate(
        samples,
        request.seed,
        lambda stage, share: _tell({"stage": stage, "share": round(share, 3)}),
    )
    report = _warned(report, *request.warnings)
    if request.calibrate:
        report = _calibrated(folder, samples, request.seed, report)
    write_report(folder, report)


def write_report(folder: Path, report: Report) -> None:
    """Write `report.json` and `report.html`."""
    write_whole(folder / "report.json", report.model_dump_json(indent=1) + "\n")
    write_whole(folder / "report.html", page(report))


def write_whole(file: Path, text: str) -> None:
    """Write a file so that whoever looks sees all of it or what was there before."""
    part = file.with_name(f".{file.name}.part")
    part.write_text(text, "utf-8")
    part.replace(file)


def _calibrated(folder: Path, samples: Samples, seed: int, report: Report) -> Report:
    """Write the calibration, or return the report with a warning why there is none."""
    try:
        calibration = recalibrate(samples, seed)
    except NotEvaluable as error:
        return _warned(report, str(error))
    write_whole(folder / "calibration.json", calibration.model_dump_json(indent=1) + "\n")
    return report


def _warned(report: Report, *warnings: str) -> Report:
    about = report.about
    warned = about.model_copy(update={"warnings": (*about.warnings, *warnings)})
    return report.model_copy(update={"about": warned})


def _tell(line: Mapping[str, object]) -> None:
    print(json.dumps(line, ensure_ascii=False), file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
