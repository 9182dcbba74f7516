"""Whoever is nearest to a probe is among its contenders, however alike everybody is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index import contenders as module
from index.contenders import contenders
from index.faiss_gallery import FaissGallery
from index.gallery import Reference


def unit(rng: np.random.Generator, count: int, likeness: float) -> np.ndarray:
    rows = 1e-4 * rng.standard_normal((count, 16)) + likeness
    rows += (1 - likeness) * rng.standard_normal((count, 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 6),
    st.integers(0, 40),
    st.sampled_from([0.0, 1.0]),
    st.data(),
)
def test_the_nearest_that_is_not_barred_is_always_there(
    seed: int, probes: int, references: int, likeness: float, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    rows, asked = unit(rng, references, likeness), unit(rng, probes, likeness)
    some = st.lists(st.integers(0, max(0, references - 1)), max_size=references, unique=True)
    barred = [data.draw(some) if references else [] for _ in range(probes)]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_STRETCH", data.draw(st.integers(1, 50)))
        found = contenders(asked, rows, barred)

    pairs = {(i, row) for some, near in found for i in some.tolist() for row in near.tolist()}
    close = asked.astype(np.float64) @ rows.astype(np.float64).T
    for i, out in enumerate(barred):
        close[i, out] = -np.inf
        nearest = np.flatnonzero(close[i] == close[i].max(initial=-np.inf))
        assert len(out) == references or {(i, int(row)) for row in nearest} <= pairs
        assert len(out) < references or i not in {pair[0] for pair in pairs}


def test_few_contend_where_nobody_is_alike() -> None:
    rng = np.random.default_rng(0)
    gallery = FaissGallery(16, "cosine")
    keys = [3 * i for i in range(20_000)]
    gallery.add([Reference(key, "") for key in keys], unit(rng, len(keys), 0.0))

    found = gallery.contenders(unit(rng, 50, 0.0), [[] for _ in range(50)])

    assert 50 <= sum(len(some) for some, _ in found) < 60
    assert {key for _, near in found for key in near.tolist()} <= set(keys)
    assert sum(len(near) for _, near in found) < 60
