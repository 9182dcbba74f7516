from typing import Any

import numpy as np
import pytest

from service.use_cases.results import Identifications


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (3, [3]), (4, [4]), (9, [4, 4, 1])])
def test_decisions_come_in_slices_that_together_are_all(count: int, sizes: list[int]) -> None:
    results: list[Any] = [f"decision {i}" for i in range(count)]  # whatever they are
    found = Identifications(
        *(None, 7, 2, [2 * i for i in range(count)], results, np.eye(count)),  # type: ignore[arg-type]
        failures={1: ValueError()},
        timings={"search": 0.1},
    )

    slices = list(found.slices(4))

    assert [len(each.results) for each in slices] == sizes
    assert [one for each in slices for one in each.results] == results
    assert [i for each in slices for i in each.indices] == found.indices
    assert all(len(each.embeddings) == len(each.results) for each in slices)
    assert {each.version for each in slices} <= {7}
