"""`python -m kindred`, and the command `kindred`."""

import sys

from kindred.cli import main


def run() -> None:
    """Run the command line."""
    sys.exit(main())


if __name__ == "__main__":
    run()
