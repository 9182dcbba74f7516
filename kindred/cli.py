"""The command line: serve, and a demonstration."""

import os
import sys
from typing import Annotated

import typer

app = typer.Typer(
    help="Have we seen this before, and whose is it?", no_args_is_help=True, add_completion=False
)


def _default_url() -> str:
    port = os.environ.get("KINDRED_PORT", "8000")
    return os.environ.get("KINDRED_URL", f"http://127.0.0.1:{port}")


Url = Annotated[str, typer.Option(help="Where the service is; or KINDRED_URL")]
Key = Annotated[str, typer.Option(envvar="KINDRED_API_KEY", help="API key, if it wants one")]


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
