"""Which rule a gallery decides by, chosen on its own samples."""

import math
from collections.abc import Mapping

from index.roster import Rule

CHOICES: tuple[Rule, ...] = ("max", "centroid")
"""The rules that a gallery may choose from besides its default; no other won where measured."""
ENOUGH = 40  # identities with two samples: fewer tell too little

Missed = Mapping[str, bool]  # identity → whether its sample held out would be missed


def clearly_best(missed: Mapping[Rule, Missed], default: Rule) -> Rule:
    """Return the rule that misses fewest of the same samples, or the default.

    Another than the default has to save more misses than their standard error. It depends on who
    is enrolled, and not on how that came about.
    """
    return max(missed, key=lambda rule: _clear_gain(missed[default], missed[rule]))


def _clear_gain(missed: Missed, instead: Missed) -> int:
    both = [(missed[each], instead[each]) for each in missed]
    saved, added = both.count((True, False)), both.count((False, True))
    gain = saved - added
    return gain if gain > math.sqrt(saved + added) else 0
