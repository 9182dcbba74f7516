"""Two comparators are tried on samples that are taken out and asked about, one by one."""

import numpy as np
import pytest

from index import FaissGallery, Identifier, Reference, TargetUnresolvable
from models_store.comparator import Array
from service.use_cases.agreement import Tried, measure_agreement

TARGET = 0.1


def rows(seed: int, n: int, dimension: int = 6) -> Array:
    found = np.random.default_rng(seed).normal(size=(n, dimension))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def identifier(strangers: int = 60) -> Identifier:
    return Identifier(
        lambda: FaissGallery(6, "cosine"),
        lambda distances: 1 / (1 + np.exp(6 * np.asarray(distances, np.float64) - 3)),
        rows(99, strangers),
    )


def references(counts: list[int]) -> list[Reference]:
    names = [f"id-{i}" for i, count in enumerate(counts) for _ in range(count)]
    return [Reference(10 + key, name) for key, name in enumerate(names)]


def enrolled(who: list[Reference], embeddings: Array, strangers: int = 60) -> Tried:
    filled = identifier(strangers)
    filled.enroll(who, embeddings)
    return Tried(filled, who, embeddings)


def apart(who: list[Reference], embeddings: Array, key: int) -> tuple[str, str | None]:
    """What a gallery says that never had that sample."""
    kept = [row for row, each in enumerate(who) if each.key != key]
    [row] = [row for row, each in enumerate(who) if each.key == key]
    never = enrolled([who[i] for i in kept], embeddings[kept]).identifier
    [answer] = never.identify(embeddings[row : row + 1], target_fpir=TARGET)
    return answer.outcome, answer.identity


@pytest.mark.parametrize("seed", range(3))
def test_it_counts_what_galleries_say_that_never_had_the_sample(seed: int) -> None:
    counts = [3, 1, 2, 1, 4, 2]
    who = references(counts)
    centres = np.repeat(rows(seed, len(counts)), counts, axis=0)
    then = centres + 0.3 * rows(seed + 10, len(who))
    now = centres + 0.9 * rows(seed + 20, len(who))
    then, now = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (then, now))

    found = measure_agreement(
        enrolled(who, then), enrolled(who, now), target_fpir=TARGET, prior_known=0.5
    )

    said = {each.key: (apart(who, then, each.key), apart(who, now, each.key)) for each in who}
    alone = {each.key for each in who if each.identity in ("id-1", "id-3")}
    right = {each.key: ("match", each.identity) for each in who}
    assert (found.trials, found.mated, found.strangers) == (13, 11, 2)
    assert found.agreeing == sum(a == b for a, b in said.values())
    assert found.missed_before == sum(said[k][0] != right[k] for k in right.keys() - alone)
    assert found.missed_after == sum(said[k][1] != right[k] for k in right.keys() - alone)
    assert found.named_before == sum(said[k][0][0] == "match" for k in alone)
    assert found.named_after == sum(said[k][1][0] == "match" for k in alone)


def test_a_comparator_agrees_with_itself_and_the_galleries_are_left_as_they_were() -> None:
    who = references([2, 2, 1])
    embeddings = rows(1, 5)
    tried = enrolled(who, embeddings)

    found = measure_agreement(
        tried, enrolled(who, embeddings), target_fpir=TARGET, prior_known=0.5, trials=4
    )

    assert (found.trials, found.agreeing) == (4, 4)
    after, held = tried.identifier.enrolled()
    assert sorted(each.key for each in after) == [each.key for each in who]
    assert len(held) == 5


def test_only_samples_that_both_have_are_asked_about() -> None:
    who = references([2, 2])
    embeddings = rows(1, 4)

    found = measure_agreement(
        enrolled(who, embeddings),
        enrolled(who[1:], embeddings[1:]),
        target_fpir=TARGET,
        prior_known=0.5,
    )

    assert (found.trials, found.mated, found.strangers) == (3, 2, 1)


def test_a_target_that_strangers_cannot_resolve_is_said_to_be_one() -> None:
    who = references([2])
    tried = enrolled(who, rows(1, 2), strangers=5)

    with pytest.raises(TargetUnresolvable):
        measure_agreement(tried, enrolled(who, rows(1, 2)), target_fpir=0.01, prior_known=0.5)
