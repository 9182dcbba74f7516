"""Evaluate a folder of folders on a running service, and show the main figures."""

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import httpx
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from kindred.demo import ServiceAway

IN_MEMORY = 16 * 2**20  # bytes of an archive that are not yet worth a file
ASKED_FPIR = 0.05  # of those that are measured: what galleries keep to by default
LONGEST = 3600.0  # seconds to wait; the service has a deadline of its own


class NothingThere(Exception):
    """The path holds no files in folders."""


def run(
    source: Path,
    url: str,
    key: str = "",
    *,
    fields: dict[str, str],
    html: Path | None = None,
    document: Path | None = None,
) -> None:
    """Send a folder of folders, or a zip of one, and show what came back.

    `fields` are those of `POST /evaluate`. The page is written to `html`, the whole answer to
    `document`. Raises ServiceAway or NothingThere.
    """
    console = Console()
    with _archive(source) as archive:
        answer = _post(console, archive, url, key, fields | {"html": str(html is not None)})
    if html is not None:
        html.write_text(answer.pop("html"), "utf-8")
        console.print(f"The report is in {html}")
    if document is not None:
        document.write_text(json.dumps(answer, indent=1) + "\n", "utf-8")
        console.print(f"The figures are in {document}")
    _show(console, answer)


@contextmanager
def _archive(source: Path) -> Iterator[BinaryIO]:
    """Yield a zip of the files under a folder, or the zip that the path already is."""
    if source.is_file():
        with source.open("rb") as file:
            yield file
        return
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    if not files:
        raise NothingThere(f"{source}: expected a folder of folders of samples, or a zip of one")
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as spool:
        with zipfile.ZipFile(spool, "w", strict_timestamps=False) as archive:
            for path in files:
                archive.write(path, path.relative_to(source).as_posix())
        spool.seek(0)
        yield cast(BinaryIO, spool)


def _post(
    console: Console, archive: BinaryIO, url: str, key: str, fields: dict[str, str]
) -> dict[str, Any]:
    size = archive.seek(0, io.SEEK_END)
    archive.seek(0)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with (
        Progress(*columns, TimeElapsedColumn(), console=console) as progress,
        httpx.Client(base_url=url, headers=headers, timeout=LONGEST) as client,
    ):
        sending = progress.wrap_file(archive, size, description="send, embed and evaluate")
        try:
            answer = client.post("/evaluate", data=fields, files={"archive": sending})
        except httpx.TransportError as error:
            raise ServiceAway(f"no service at {url}: start it with `make serve`") from error
    if answer.is_error:
        raise ServiceAway(f"/evaluate answered {answer.status_code}: {_told(answer)}")
    result: dict[str, Any] = answer.json()
    return result


def _told(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:1000]


def _show(console: Console, answer: dict[str, Any]) -> None:
    table = Table(
        title=f"{answer['comparator']} on {answer['samples']} samples of "
        f"{answer['identities']} identities"
    )
    for heading in ("figure", "value", "95 % interval", "counted"):
        table.add_column(heading, justify="left" if heading in ("figure", "counted") else "right")
    for name, figure in _main_figures(answer["report"]):
        value, interval = figure["value"], figure["interval"]
        table.add_row(
            name,
            f"{value:.3f}" if value is not None else "–",
            "–".join(f"{end:.3f}" for end in interval) if interval else "",
            figure["counted"] if value is not None else f"too few: {figure['too_few']}",
        )
    console.print(table)
    for warning in answer["warnings"]:
        console.print(f"[yellow]![/] {warning}", highlight=False)
    for failure in answer["failures"]:
        console.print(
            f"[red]✗[/] file {failure['index']}: {failure['problem']['detail']}", highlight=False
        )
    if answer["applied"] is not None:
        _show_applied(console, answer["gallery"], answer["applied"])


def _show_applied(console: Console, gallery: str, applied: dict[str, Any]) -> None:
    if applied["version"] is None:
        return  # the reason is among the warnings
    console.print(
        f"{gallery} is judged by {applied['cohort_identities']} strangers of its own as of "
        f"version {applied['version']}"
    )
    for known in applied["left_out"]:
        console.print(
            f"  left out: {known['identity']} ({known['reason']}: {known['enrolled_as']})",
            markup=False,
        )


def _main_figures(report: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what most people want to know first, as far as it was measured."""
    pairs = report["pairs"]
    yield "equal error rate of pairs", pairs["eer"]
    yield "area under the ROC of pairs", pairs["auc"]
    for point in pairs["operating_points"]:
        yield f"same pairs missed at FMR {point['fmr']:g}", point["fnmr"]
    for row in report["open_set"]["rows"]:
        if row["decision"] == "served" and row["samples"] == 1 and row["asked"] == ASKED_FPIR:
            gallery = f"N = {row['identities']}, {row['strangers']}"
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
            yield f"clusters agree (ARI), cut from {row['cut_from']}", row["agreement"]["ari"]
