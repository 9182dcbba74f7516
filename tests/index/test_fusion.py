"""A gallery's rule, by counting."""

import pytest

from index.fusion import clearly_best


def missed(*who: int, of: int = 100) -> dict[str, bool]:
    return {str(i): i in who for i in range(of)}


@pytest.mark.parametrize(
    ("by_centroid", "chosen"),
    [
        (range(20), "centroid"),  # saves 10 of 30
        (range(29), "max"),  # saves 1 ± 1 of 100
        (range(2, 30), "centroid"),  # saves 2 ± 1.4
        (range(20, 48), "max"),  # saves 20 and loses 18: 2 ± 6
        (range(40), "max"),
    ],
)
def test_another_rule_is_chosen_only_if_it_clearly_misses_fewer(by_centroid, chosen):
    seen = {"max": missed(*range(30)), "centroid": missed(*by_centroid)}

    assert clearly_best(seen, "max") == chosen


def test_of_rules_that_do_alike_the_default_stays():
    seen = {"mean": missed(1, 2), "max": missed(1, 2), "centroid": missed(1, 2)}

    assert clearly_best(seen, "mean") == "mean"
