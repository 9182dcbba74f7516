"""Lines of a bulk, each with its own outcome."""

import gc
import weakref

from service.parameters import InvalidParameter
from service.routes.bulk_lines import read_lines


def test_a_line_that_breaks_a_rule_is_told_and_leaves_nothing_behind():
    [refused] = read_lines([b'{"identity": "", "embedding": [1.0, 2.0]}'], longest_metadata=100)
    assert isinstance(refused, InvalidParameter)
    assert str(refused) == "identity: expected 1 to 128 characters"
    left = weakref.ref(refused)

    del refused
    gc.collect()

    assert left() is None
