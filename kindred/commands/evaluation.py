"""`kindred evaluate`: measure a folder of folders, and show the main figures."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from kindred.answers import AppliedAnswer, EvaluateAnswer
from kindred.cli import SAME
from kindred.commands.terminal import (
    client_of,
    coloured,
    progress,
    say,
    say_json,
    say_table,
)
from kindred.reading import write

ASKED_FPIR = 0.05  # of those that are measured: what galleries keep to by default


def evaluate(asked: Namespace) -> int:
    """Send a folder of folders, or a zip of one, and show what came back."""
    with client_of(asked) as client, progress("send, embed and evaluate"):
        answer = client.evaluate_folder(
            asked.source,
            comparator=asked.comparator,
            gallery=asked.gallery,
            apply=asked.apply,
            html=asked.html is not None,
            seed=asked.seed,
        )
    if asked.html is not None:
        asked.html.write_text(answer.html or "", "utf-8")
    if asked.json:
        document = write(answer)
        document.pop("html")
        say_json(document)
        return SAME
    _show(answer)
    if asked.html is not None:
        say(f"The report is in {asked.html}")
    return SAME


def _show(answer: EvaluateAnswer) -> None:
    say(f"{answer.comparator} on {answer.samples} samples of {answer.identities} identities\n")
    rows = []
    for name, figure in _main_figures(answer.report):
        value, interval = figure["value"], figure["interval"]
        rows.append(
            (
                name,
                f"{value:.3f}" if value is not None else "–",
                "–".join(f"{end:.3f}" for end in interval) if interval else "",
                figure["counted"] if value is not None else f"too few: {figure['too_few']}",
            )
        )
    say_table(("figure", "value", "95 % interval", "counted"), rows)
    for warning in answer.warnings:
        say(f"{coloured('!', 'yellow')} {warning}")
    for section, reason in answer.report.get("absent", {}).items():
        say(f"no {section.replace('_', ' ')}: {reason}")
    for failure in answer.failures:
        say(f"{coloured('✗', 'red')} file {failure.index}: {failure.problem.detail}")
    if answer.applied is not None:
        _show_applied(answer.gallery, answer.applied)


def _show_applied(gallery: str | None, applied: AppliedAnswer) -> None:
    if applied.version is None:
        return  # the reason is among the warnings
    say(
        f"{gallery} is judged by {applied.cohort_identities} strangers of its own as of "
        f"version {applied.version}"
    )
    for known in applied.left_out:
        say(f"  left out: {known.identity} ({known.reason}: {known.enrolled_as})")


def _main_figures(report: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what most people want to know first, as far as it was measured."""
    pairs = report["pairs"]
    yield "equal error rate of pairs", pairs["eer"]
    yield "area under the ROC of pairs", pairs["auc"]
    for point in pairs["operating_points"]:
        yield f"same pairs missed at FMR {point['fmr']:g}", point["fnmr"]
    for row in (report.get("retrieval") or {"rows": ()})["rows"]:
        if row["found"]["value"] is not None:
            among = f"among {row['identities']}, references {row['references']}"
            yield f"found in the first {row['rank']}{_asked_by(row)}, {among}", row["found"]
    for row in report["open_set"]["rows"]:
        if row["decision"] == "served" and row["samples"] == 1 and row["asked"] == ASKED_FPIR:
            gallery = f"N = {row['identities']}{_asked_by(row)}, {row['strangers']}"
            yield f"strangers named of {ASKED_FPIR:g} asked, {gallery}", row["fpir"]
            yield f"enrolled missed then, {gallery}", row["fnir"]
    for row in report["recognition"]["accuracy"]:
        if row["rule"] == "knn":
            yield "labelled k-NN, enrolled and strangers", row["both"]
    for row in report["one_shot"]:
        if row["right"]["value"] is not None:
            among = "within groups" if row["within_groups"] else "among all"
            yield f"{row['ways']}-way {row['shots']}-shot, {among}", row["right"]
    for row in report["clustering"]:
        if row["method"] == "linkage":
            side = f", side {row['side']}" if row.get("side") else ""
            yield (
                f"clusters agree (ARI){side}, cut from {row['cut_from']}",
                row["agreement"]["ari"],
            )


def _asked_by(row: Mapping[str, Any]) -> str:
    """Return which of two encoders' sides asked, if there are two."""
    return f", asked by side {row['probes']}" if row.get("probes") else ""
