"""What an identifier holds, as plain arrays: to be put down, and taken up again at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from index.gallery import Embeddings
from index.roster import Rule, Scores

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FrozenBest:
    """The best score of each of m probes, and who has it, by row in `identities`; -1: nobody."""

    best: Scores  # (m,)
    holders: Numbers  # (m,)


@dataclass(frozen=True, slots=True)
class FrozenSearch:
    """What was found under one rule: of the strangers (M,), and of a gallery's own trials (T,)."""

    strangers: FrozenBest
    others: FrozenBest
    tried: Numbers  # (T,) rows in `identities`
    held_out: Numbers  # (T,) the keys of their samples that are tried
    own: Scores  # (T,) their scores by their other samples; NaN where there are none
    left: Numbers  # (T,) how many these are


@dataclass(frozen=True, slots=True)
class Frozen:
    """Who is enrolled, and what was found out by searching."""

    identities: Sequence[str]  # (N,)
    counts: Numbers  # (N,) samples of each
    keys: Numbers  # (n,) identity by identity, rising
    embeddings: Embeddings  # (n, d)
    centroids: Embeddings | None  # (N, d)
    searches: Mapping[Rule, FrozenSearch]
