"""Whether a gallery answers by another comparator as it does now: tried on its own samples."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from index import Identifier, Reference
from models_store.comparator import Array

TRIALS = 200  # samples that are taken out and asked about


@dataclass(frozen=True, slots=True)
class Tried:
    """A gallery by one comparator: its own identifier, with references and embeddings (n, d)."""

    identifier: Identifier
    references: Sequence[Reference]
    embeddings: Array


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both comparators say of samples that are taken out of the gallery and asked about.

    Where the identity has others it is to be named, `mated`; where not nobody is, `strangers`.
    They agree where outcome and identity are the same.
    """

    trials: int
    agreeing: int
    mated: int
    missed_before: int
    missed_after: int
    strangers: int
    named_before: int
    named_after: int
    target_fpir: float


def measure_agreement(
    before: Tried, after: Tried, *, target_fpir: float, prior_known: float, trials: int = TRIALS
) -> Agreement:
    """Ask both about as many samples that both have, drawn by seed 0.

    Raises TargetUnresolvable where one of them cannot keep to the target.
    """
    owners = {each.key: each.identity for each in after.references}
    of_each = Counter(owners.values())
    shared = sorted(owners.keys() & {each.key for each in before.references})
    drawn = np.random.default_rng(0).permutation(len(shared))[:trials].tolist()
    keys = [shared[i] for i in drawn]
    then, now = (_left_out(each, keys, target_fpir, prior_known) for each in (before, after))
    mated = [i for i, key in enumerate(keys) if of_each[owners[key]] > 1]
    strangers = [i for i, key in enumerate(keys) if of_each[owners[key]] == 1]
    right = [("match", owners[key]) for key in keys]
    return Agreement(
        trials=len(keys),
        agreeing=sum(a == b for a, b in zip(then, now, strict=True)),
        mated=len(mated),
        missed_before=sum(then[i] != right[i] for i in mated),
        missed_after=sum(now[i] != right[i] for i in mated),
        strangers=len(strangers),
        named_before=sum(then[i][0] == "match" for i in strangers),
        named_after=sum(now[i][0] == "match" for i in strangers),
        target_fpir=target_fpir,
    )


def _left_out(
    tried: Tried, keys: Sequence[int], target_fpir: float, prior_known: float
) -> list[tuple[str, str | None]]:
    """Return outcome and identity of each sample, asked about while it is not enrolled."""
    rows = {each.key: row for row, each in enumerate(tried.references)}
    said: list[tuple[str, str | None]] = []
    for key in keys:
        probe = tried.embeddings[rows[key] : rows[key] + 1]
        tried.identifier.forget([key])
        [answer] = tried.identifier.identify(
            probe, target_fpir=target_fpir, prior_known=prior_known, top=1, k=1
        )
        tried.identifier.enroll([tried.references[rows[key]]], probe)
        said.append((answer.outcome, answer.identity))
    return said
