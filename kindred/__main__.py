"""`python -m kindred`: the command line."""

from kindred.cli import app

app()
