"""What is in doubt at a start: told in the log, or refused where the settings are strict."""

from collections.abc import Iterable

import structlog

log = structlog.get_logger("kindred")


class InDoubt(Exception):
    """Something is in doubt, and the settings say not to start then."""


def tell_doubts(doubts: Iterable[str], *, strict: bool) -> None:
    """Log each doubt; raise InDoubt with all of them if `strict`."""
    told = list(doubts)
    if told and strict:
        raise InDoubt("; ".join(told) + " (KINDRED_STRICT is set)")
    for doubt in told:
        log.warning("in doubt", reason=doubt)
