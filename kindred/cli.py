"""The command line: serve, a demonstration, and an evaluation of your own samples."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Have we seen this before, and whose is it?", no_args_is_help=True, add_completion=False
)


def _default_url() -> str:
    port = os.environ.get("KINDRED_PORT", "8000")
    return os.environ.get("KINDRED_URL", f"http://127.0.0.1:{port}")


Url = Annotated[str, typer.Option(help="Where the service is; or KINDRED_URL")]
Key = Annotated[
    str,
    typer.Option("--api-key", "--key", envvar="KINDRED_API_KEY", help="API key, if it wants one"),
]


@app.command()
def serve() -> None:
    """Serve with the KINDRED_ settings of the environment."""
    os.execv(sys.executable, [sys.executable, "-m", "service"])  # noqa: S606 - ourselves


@app.command()
def demo(url: Url = "", key: Key = "") -> None:
    """Enroll, identify, verify and cluster real handwriting on a running service."""
    from kindred.demo import ServiceAway, run

    try:
        run(url or _default_url(), key)
    except ServiceAway as error:
        sys.stderr.write(f"kindred: {error}\n")
        raise typer.Exit(2) from error


@app.command()
def evaluate(
    source: Annotated[
        Path, typer.Argument(exists=True, help="Folder of a folder per identity, or a zip of one")
    ],
    url: Url = "",
    key: Key = "",
    comparator: Annotated[str, typer.Option(help="Comparator, else the default one")] = "",
    gallery: Annotated[str, typer.Option(help="Gallery whose comparator is measured")] = "",
    html: Annotated[Path | None, typer.Option(help="Write the report as a page here")] = None,
    document: Annotated[
        Path | None, typer.Option("--json", help="Write the whole answer here")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn at random")] = 0,
    apply: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option("--apply", help="Judge the gallery by these identities from now on")
    ] = False,
) -> None:
    """Measure a comparator on your own labelled samples, on a running service."""
    from kindred.demo import ServiceAway
    from kindred.evaluation import NothingThere, run

    fields = {"comparator": comparator, "gallery": gallery, "seed": str(seed)}
    fields |= {"apply": "true"} if apply else {}
    given = {name: value for name, value in fields.items() if value}
    try:
        run(source, url or _default_url(), key, fields=given, html=html, document=document)
    except (ServiceAway, NothingThere) as error:
        sys.stderr.write(f"kindred: {error}\n")
        raise typer.Exit(2) from error


galleries = typer.Typer(help="Take galleries out and in.", no_args_is_help=True)
app.add_typer(galleries, name="galleries")


@galleries.command("export")
def export_gallery(gallery: str, target: Path, url: Url = "", key: Key = "") -> None:
    """Write all that is kept of a gallery to a file."""
    from kindred.demo import ServiceAway
    from kindred.transfer import Incomplete, export

    try:
        export(gallery, target, url or _default_url(), key)
    except (ServiceAway, Incomplete) as error:
        sys.stderr.write(f"kindred: {error}\n")
        raise typer.Exit(2) from error


@galleries.command("import")
def import_gallery(
    source: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    gallery: str,
    url: Url = "",
    key: Key = "",
) -> None:
    """Make a gallery of an export, under a name that is free."""
    from kindred.demo import ServiceAway
    from kindred.transfer import import_

    try:
        import_(source, gallery, url or _default_url(), key)
    except ServiceAway as error:
        sys.stderr.write(f"kindred: {error}\n")
        raise typer.Exit(2) from error


keys = typer.Typer(help="Keys of the service.", no_args_is_help=True)
app.add_typer(keys, name="key")


@keys.command("new")
def new_key(
    name: Annotated[str, typer.Option(help="What the log calls who uses it")],
    role: Annotated[str, typer.Option(help="decide, read, enroll or administer")],
    galleries: Annotated[
        str, typer.Option(help="Names, or beginnings with a *, by commas; '*': all of them")
    ],
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires")] = None,
    into: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Append its lines to this file")
    ] = None,
) -> None:
    """Make a key: it is printed once, and the service's file has its digest only."""
    from kindred.keys import Unusable, new, show

    try:
        scopes = [scope.strip() for scope in galleries.split(",") if scope.strip()]
        show(*new(name, role, scopes, days), into)
    except (Unusable, OSError) as error:
        sys.stderr.write(f"kindred: {error}\n")
        raise typer.Exit(2) from error
