import pytest

from evaluation.one_shot import measure_one_shot, one_shot
from tests.evaluation.embedded import noise, perfect


def test_one_shot_of_a_perfect_embedding_is_always_right():
    found = one_shot(perfect(), 0, 20, within_groups=False, drawn=True, trials=20)

    assert (found.value, found.interval) == (1, (1, 1))


@pytest.mark.parametrize("drawn", [True, False])
def test_one_shot_of_a_random_embedding_is_right_once_in_n(drawn):
    embedded = noise(40, 6, spread=1e6)

    found = one_shot(embedded, 0, 20, within_groups=False, drawn=drawn, trials=300)

    assert found.value == pytest.approx(1 / 20, abs=0.015)


def test_more_shots_do_better():
    one, five = (
        one_shot(noise(40, 8, spread=1.2), 0, 20, shots, within_groups=False, drawn=True)
        for shots in (1, 5)
    )

    assert five.value > one.interval[1]


def test_groups_that_are_too_small_are_left_out_and_it_is_said_where_none_is_left():
    few = one_shot(perfect(24), 0, 20, within_groups=True, drawn=True)
    enough = one_shot(perfect(40), 0, 20, within_groups=True, drawn=True, trials=4)

    assert few.value is None
    assert "20 identities of 2 samples in one group" in few.too_few
    assert enough.value == 1


def test_one_sample_too_few_for_five_shots_is_said():
    rows = list(measure_one_shot(perfect(30, 5), 0, grouped=False, drawn=False, trials=10))

    by_shots = {(row.ways, row.shots): row.right for row in rows}
    assert by_shots[20, 1].value == 1
    assert by_shots[20, 5].value is None
