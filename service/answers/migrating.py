"""How far a gallery's way to another comparator is."""

import json
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel

from service.store.migrations import Migration


class ShadowAgreement(BaseModel):
    """What both comparators say of samples that are taken out of the gallery and asked about.

    `agreement` is the share with the same outcome and identity. `mated` samples have others of
    their identity and are to be named; `strangers` have none and are not. Where it could not be
    measured, `reason` says why.
    """

    version: int | None = None
    target_fpir: float | None = None
    trials: int = 0
    agreeing: int = 0
    agreement: float | None = None
    mated: int = 0
    missed_before: int = 0
    missed_after: int = 0
    strangers: int = 0
    named_before: int = 0
    named_after: int = 0
    reason: str | None = None


class Behind(BaseModel):
    """Identities of which the other comparator cannot embed a sample, and the first by name."""

    count: int
    identities: list[str]


class MigrationAnswer(BaseModel):
    """A migration: `ready` once all embeddings are made that can be, `switched` once in force.

    `done` of `total` identities are embedded by the comparator that is not in force, as far as
    they can be; so are `embeddings` of `samples`, and `pending` wait for a second look.
    """

    gallery: str
    url: str
    state: Literal["building", "ready", "switched"]
    in_force: str
    before: str
    after: str
    started: datetime
    done: int
    total: int
    embeddings: int
    samples: int
    pending: int
    without_originals: Behind
    switch: Literal["asked", "auto"]
    agreement: ShadowAgreement | None
    warnings: list[str]
    version: int

    @classmethod
    def of(cls, found: Migration) -> Self:
        """Shape a migration."""
        pair = (found.in_force.comparator, found.shadow.comparator)
        before, after = reversed(pair) if found.changed else pair
        return cls(
            gallery=found.gallery,
            url=f"/galleries/{found.gallery}/migration",
            state=found.state,
            in_force=found.in_force.comparator,
            before=before,
            after=after,
            started=found.started,
            done=found.done,
            total=found.total,
            embeddings=found.embeddings,
            samples=found.samples,
            pending=found.pending,
            without_originals=Behind(count=found.left, identities=list(found.left_names)),
            switch="auto" if found.automatic else "asked",
            agreement=_agreement(found.agreement),
            warnings=_warnings(found),
            version=found.version,
        )


def _agreement(measured: str | None) -> ShadowAgreement | None:
    if measured is None:
        return None
    found = ShadowAgreement.model_validate(json.loads(measured))
    share = found.agreeing / found.trials if found.trials else None
    return found.model_copy(update={"agreement": share})


def _warnings(found: Migration) -> list[str]:
    warnings = []
    other = found.shadow.comparator
    if found.own_strangers:
        warnings.append(
            f"its own strangers are embeddings of {found.in_force.comparator}: by {other} it is "
            "judged by that bundle's strangers, until others are uploaded then"
        )
    if found.left:
        warnings.append(
            f"{found.left} identities have samples that {other} cannot embed; "
            "a switch would leave these samples behind and is refused without leave_behind"
        )
    if found.automatic and found.left and not found.leave_behind:
        warnings.append("therefore it is not switched by itself")
    return warnings
