"""A gallery that is read chunk by chunk is one array, however many come."""

import gc

import numpy as np
import pytest

from service.replicas.reading import MANY, Gathered, joined, nothing_collected
from service.store.kept import References


def chunk(number: int, samples: int) -> References:
    ids = np.arange(10 * number, 10 * number + samples)
    embeddings = np.full((samples, 4), number, np.float32)
    return References(ids, np.full(samples, number), {number: f"id-{number}"}, embeddings)


@pytest.mark.parametrize("room", [0, 3, 6, 100])
def test_who_comes_is_whole_whether_or_not_there_was_room(room: int) -> None:
    gathered = Gathered(room)
    for number, samples in ((1, 3), (2, 2), (4, 1)):
        gathered.add(chunk(number, samples))

    numbers, frozen = joined(gathered)

    assert numbers.tolist() == [1, 2, 4]
    assert frozen.identities == ["id-1", "id-2", "id-4"]
    assert frozen.counts.tolist() == [3, 2, 1]
    assert frozen.keys.tolist() == [10, 11, 12, 20, 21, 40]
    assert frozen.embeddings.tolist() == [[float(n)] * 4 for n in (1, 1, 1, 2, 2, 4)]


def test_what_there_is_room_for_is_held_once() -> None:
    gathered = Gathered(5)
    for number in (1, 2):
        gathered.add(chunk(number, 2))

    _, frozen = joined(gathered)

    assert all(np.shares_memory(frozen.embeddings, each.embeddings) for each in gathered.chunks)


@pytest.mark.parametrize("made", [0, MANY])
def test_what_is_few_is_looked_through_for_garbage_as_before(made: int) -> None:
    gc.unfreeze()
    with nothing_collected():
        held = [[] for _ in range(made + MANY // 10)]

    assert (gc.get_freeze_count() > 0) == (made == MANY)
    assert gc.isenabled()

    gc.unfreeze()
    del held
