"""The one judge of every kill, partition and race: what clients were told against what there is.

The rules are numbered as in docs/reliability.md:

1. an acknowledged enrollment is there, unless it may have been forgotten since;
2. what was forgotten is gone, and stays gone;
3. nothing is there that was not asked for, nothing twice, and nothing elsewhere;
4. record, log, counters, index and snapshot agree;
5. every replica answers as an index that is built anew from the store;
6. versions that one client sees never go back, and no two changes have one version;
7. no answer but 2xx, an expected 4xx, 503 and 504.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.torture.history import NEVER, Operation

Key = tuple[str, str]  # identity, fingerprint of a sample

EXPECTED = frozenset({404, 409, 503, 504})


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule, and what broke it."""

    rule: int
    gallery: str
    what: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of the log: what was enrolled or forgotten, by number."""

    version: int
    operation: str
    identity: int
    samples: tuple[int, ...]
    intact: bool  # whether its hash is that of its content and of the entry before


@dataclass(frozen=True, slots=True)
class Kept:
    """A gallery as the store has it: all of its records, its log and its counters."""

    gallery: str
    version: int
    identities: int
    samples: int
    records: Mapping[tuple[int, str], Mapping[int, str]]  # (number, name) → id → fingerprint
    log: Sequence[Entry]  # whole, from version 1
    orphans: Collection[str] = ()  # records that no identity is listed for


@dataclass(frozen=True, slots=True)
class View:
    """A gallery as somebody else has it: an index, or a snapshot, at a version."""

    whose: str
    version: int
    samples: Collection[int]  # ids that it has
    looked_for: Collection[int] | None = None  # of these; None: of all
    different: Collection[str] = ()  # answers other than those of an index built anew


def check(
    operations: Iterable[Operation], kept: Kept, views: Iterable[View] = ()
) -> list[Violation]:
    """Return every rule that is broken in one gallery, after all clients have stopped."""
    own = [o for o in operations if o.gallery == kept.gallery]
    rules: list[tuple[int, Callable[[], Iterator[str]]]] = [
        (1, lambda: _lost(own, kept)),
        (1, lambda: _unseen(own)),
        (2, lambda: _resurrected(own, kept)),
        (2, lambda: _seen_again(own)),
        (3, lambda: _unasked(own, kept)),
        (4, lambda: _half_written(kept)),
        (6, lambda: _goes_back(own, kept)),
        (7, lambda: _unexpected(own)),
    ]
    found = [Violation(rule, kept.gallery, what) for rule, tell in rules for what in tell()]
    for view in views:
        found += [Violation(4, kept.gallery, what) for what in _disagrees(view, kept)]
        found += [Violation(5, kept.gallery, f"{view.whose}: {a}") for a in view.different]
    return found


def _lost(operations: Sequence[Operation], kept: Kept) -> Iterator[str]:
    there = _present(kept)
    erased = _by_identity(operations, "forget")
    for enrolled in operations:
        key = (enrolled.identity, enrolled.sample)
        if enrolled.kind != "enroll" or not enrolled.acknowledged or key in there:
            continue
        if not any(e.attempted and e.ended > enrolled.begun for e in erased[enrolled.identity]):
            yield f"lost: {key}, acknowledged at version {enrolled.version}"


def _unseen(operations: Sequence[Operation]) -> Iterator[str]:
    erased = _by_identity(operations, "forget")
    enrolled = {
        o.sample: o for o in operations if o.kind == "enroll" and o.acknowledged and not o.retried
    }
    for find in operations:
        before = enrolled.get(find.sample)
        if find.kind != "find" or find.found is not False or before is None:
            continue
        due = before.ended < find.begun and find.min_version >= (before.version or NEVER)
        if due and not any(
            e.attempted and e.ended > before.begun and e.begun < find.ended
            for e in erased[before.identity]
        ):
            yield f"not found: {before.identity}, enrolled at version {before.version} before"


def _resurrected(operations: Sequence[Operation], kept: Kept) -> Iterator[str]:
    attempts = _attempts(operations)
    present = _present(kept)
    for erased in operations:
        if erased.kind != "forget" or not erased.acknowledged:
            continue
        for key, tries in attempts[erased.identity].items():
            if key in present and all(t.ended < erased.begun for t in tries):
                yield f"forgotten at version {erased.version}, and there: {key}"


def _seen_again(operations: Sequence[Operation]) -> Iterator[str]:
    attempts = _attempts(operations)
    owners = {o.sample: o.identity for o in operations if o.kind == "enroll"}
    erased = _by_identity(operations, "forget")
    for find in operations:
        if find.kind != "find" or not find.found or find.sample not in owners:
            continue
        identity = owners[find.sample]
        tries = attempts[identity][identity, find.sample]
        for e in erased[identity]:
            due = e.acknowledged and e.ended < find.begun
            known = find.min_version >= (e.version or NEVER)
            if due and known and all(t.ended < e.begun for t in tries):
                yield f"found although forgotten at version {e.version}: {identity}"


def _unasked(operations: Sequence[Operation], kept: Kept) -> Iterator[str]:
    asked = {(o.identity, o.sample) for o in operations if o.kind == "enroll" and o.attempted}
    for key, times in _present(kept).items():
        if key not in asked:
            yield f"nobody asked for {key}"
        if times > 1:
            yield f"{times} times there: {key}"
    for name, times in Counter(name for _, name in kept.records).items():
        if times > 1:
            yield f"{times} identities are called {name}"


def _half_written(kept: Kept) -> Iterator[str]:
    counted = sum(len(samples) for samples in kept.records.values())
    if (kept.identities, kept.samples) != (len(kept.records), counted):
        yield (
            f"counters say {kept.identities} identities and {kept.samples} samples, "
            f"records {len(kept.records)} and {counted}"
        )
    for orphan in kept.orphans:
        yield f"a record without an identity: {orphan}"
    if [entry.version for entry in kept.log] != list(range(1, kept.version + 1)):
        yield f"the log is not 1 … {kept.version}, but {len(kept.log)} entries"
    for entry in kept.log:
        if not entry.intact:
            yield f"the log's entry {entry.version} does not follow from the one before"
    logged: set[int] = _folded(kept.log)
    recorded = {id_ for samples in kept.records.values() for id_ in samples}
    for id_ in sorted(recorded - logged):
        yield f"sample {id_} has a record and no log entry"
    for id_ in sorted(logged - recorded):
        yield f"sample {id_} has a log entry and no record"


def _disagrees(view: View, kept: Kept) -> Iterator[str]:
    if view.version > kept.version:
        yield f"{view.whose} is at version {view.version}, the store at {kept.version}"
        return
    expected = _folded(entry for entry in kept.log if entry.version <= view.version)
    if view.looked_for is not None:
        expected &= set(view.looked_for)
    for id_ in sorted(expected - set(view.samples)):
        yield f"{view.whose} at version {view.version} lacks sample {id_}"
    for id_ in sorted(set(view.samples) - expected):
        yield f"{view.whose} at version {view.version} has sample {id_}, the log has not"


def _goes_back(operations: Sequence[Operation], kept: Kept) -> Iterator[str]:
    told = [o for o in operations if o.acknowledged and o.version is not None and not o.retried]
    last: dict[str, int] = {}
    for o in sorted(told, key=lambda o: o.ended):
        seen, version = last.get(o.client, 0), int(o.version or 0)
        if version < seen:
            yield f"{o.client} saw version {seen}, then {version}"
        last[o.client] = max(seen, version)
    changes = [o for o in told if o.kind != "find"]
    for version, times in Counter(o.version for o in changes).items():
        if times > 1:
            yield f"version {version} was given to {times} changes"
    highest = 0  # of all that had ended before this one began
    ended = sorted(changes, key=lambda o: o.ended)
    i = 0
    for o in sorted(changes, key=lambda o: o.begun):
        while i < len(ended) and ended[i].ended < o.begun:
            highest = max(highest, int(ended[i].version or 0))
            i += 1
        if int(o.version or 0) <= highest:
            yield f"{o.identity} is version {o.version}, after {highest} had been told"
    logged = {entry.version: entry for entry in kept.log}
    fingerprints = {id_: f for samples in kept.records.values() for id_, f in samples.items()}
    for o in changes:
        entry = logged.get(int(o.version or 0))
        if entry is None:
            yield f"{o.identity} was told version {o.version}, which the log has not"
        elif entry.operation.partition("-")[0] != o.kind:
            yield f"{o.kind} was told version {o.version}, which is a {entry.operation}"
        elif o.kind == "enroll" and o.sample not in (
            fingerprints.get(i, o.sample) for i in entry.samples
        ):
            yield f"{o.identity} was told version {o.version}, which is another's"


def _unexpected(operations: Sequence[Operation]) -> Iterator[str]:
    for o in operations:
        if o.status is not None and not 200 <= o.status < 300 and o.status not in EXPECTED:
            yield f"{o.kind} of {o.identity} was answered {o.status}"


def _folded(log: Iterable[Entry]) -> set[int]:
    """Return which samples there must be after these changes."""
    there: set[int] = set()
    for entry in log:
        if entry.operation == "enroll":
            there |= set(entry.samples)
        elif entry.operation.startswith("forget"):
            there -= set(entry.samples)
    return there


def _present(kept: Kept) -> Counter[Key]:
    return Counter(
        (name, fingerprint)
        for (_, name), samples in kept.records.items()
        for fingerprint in samples.values()
    )


def _by_identity(operations: Sequence[Operation], kind: str) -> dict[str, list[Operation]]:
    found: dict[str, list[Operation]] = defaultdict(list)
    for o in operations:
        if o.kind == kind:
            found[o.identity].append(o)
    return found


def _attempts(operations: Sequence[Operation]) -> dict[str, dict[Key, list[Operation]]]:
    """Return every enrollment that may have been done, by identity and sample."""
    found: dict[str, dict[Key, list[Operation]]] = defaultdict(lambda: defaultdict(list))
    for o in operations:
        if o.kind == "enroll" and o.attempted:
            found[o.identity][o.identity, o.sample].append(o)
    return found
