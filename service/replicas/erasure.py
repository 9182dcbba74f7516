"""What was forgotten leaves every file, and a receipt says how far that is."""

import asyncio
from dataclasses import dataclass
from time import monotonic

import structlog

from service.replicas.replica import Replica
from service.replicas.stowing import Stowage
from service.store.errors import StoreError
from service.store.identities import IdentityStore

EVERY = 2.0  # seconds between two looks, so that what is forgotten together goes together
REST = 10.0  # seconds between two rewrites
RETRY = 30.0  # seconds after a rewrite that failed

log = structlog.get_logger("kindred.erasure")


class UnknownReceipt(LookupError):
    """The gallery has no such version yet."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Which of the places that held it hold no byte any more of what a version took away."""

    gallery: str
    version: int
    record: bool
    idempotency_copies: bool
    index: bool  # of this process
    snapshot: bool  # of this process
    append_only_file: bool

    @property
    def complete(self) -> bool:
        """Whether all of them hold none."""
        places = (self.record, self.idempotency_copies, self.index, self.snapshot)
        return all(places) and self.append_only_file


async def receipt_of(
    store: IdentityStore, stowage: Stowage, replica: Replica, version: int
) -> Receipt:
    """Return what is known of a change that took something away, or raise UnknownReceipt.

    The record went in one script with the change, and copies of answers never held a name, an
    embedding or a fingerprint: both are gone as soon as there is such a version.
    """
    state = await store.gallery(replica.name)
    if not 0 < version <= state.version:
        raise UnknownReceipt("the gallery has no such version")
    return Receipt(
        gallery=replica.name,
        version=version,
        record=True,
        idempotency_copies=True,
        index=replica.version >= version,
        snapshot=not stowage.holds(replica, version),
        append_only_file=state.rewritten >= min(version, state.erased),
    )


class Pending:
    """Since when some place holds bytes of what was forgotten, as those say who look there."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}  # place → of `monotonic`

    def tell(self, place: str, holds: bool) -> None:  # noqa: FBT001 - it is what is told
        """Note whether a place holds any now."""
        if holds:
            self._since.setdefault(place, monotonic())
        else:
            self._since.pop(place, None)

    @property
    def seconds(self) -> float:
        """For how long the oldest has been waiting; 0 where nothing is."""
        return max((monotonic() - since for since in self._since.values()), default=0.0)


async def keep_rewriting(store: IdentityStore, pending: Pending) -> None:
    """Let the store write its append-only file anew whenever it may hold what was erased.

    What was erased shortly before goes along; until cancelled.
    """
    while True:
        rest = EVERY
        try:
            owed = await store.owes_rewrite()
            pending.tell("append-only file", owed)
            if owed:
                await store.rewrite()
                rest = REST
        except StoreError as error:
            log.warning("the append-only file was not rewritten", error=type(error).__name__)
            rest = RETRY
        except Exception:
            log.exception("rewriting the append-only file failed; it is tried again")
            rest = RETRY
        await asyncio.sleep(rest)
