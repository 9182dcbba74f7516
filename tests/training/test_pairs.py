import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.pairs import Limits, draw_pairs, read_pairs, split_identities, write_pairs

sizes = st.lists(st.integers(1, 8), min_size=2, max_size=9)


def labelled(counts, seed=0):
    """Return labels (n,) of identities with so many samples, in no order."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)) * 3, counts))


@given(counts=sizes, count=st.integers(0, 200), rate=st.floats(0, 1), seed=st.integers(0, 9))
def test_pairs_are_what_they_are_said_to_be_and_none_comes_twice(counts, count, rate, seed):
    labels = labelled(counts)

    pairs = draw_pairs(labels, count, Limits(rate), seed)

    assert ((labels[pairs.a] == labels[pairs.b]) == pairs.same).all()
    assert (pairs.a != pairs.b).all()
    met = {frozenset(pair) for pair in zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)}
    assert len(met) == len(pairs) <= count


@given(counts=sizes)
def test_asking_for_more_than_there_are_gives_every_pair(counts):
    labels = labelled(counts)
    n = len(labels)
    possible = sum(size * (size - 1) // 2 for size in counts)

    pairs = draw_pairs(labels, n * n * 2)

    assert pairs.same.sum() == possible
    assert (~pairs.same).sum() == n * (n - 1) // 2 - possible


def test_the_positive_rate_is_as_asked_where_there_are_enough():
    pairs = draw_pairs(labelled([10] * 10), 200, Limits(positive_rate=0.2))

    assert len(pairs) == 200
    assert pairs.positive_rate == 0.2


@pytest.mark.parametrize("rate", [0.5, 0.25, 0.0, 1.0])
def test_strict_keeps_the_rate_where_one_kind_runs_out(rate):
    labels = labelled([3] * 6)  # 18 genuine pairs

    loose = draw_pairs(labels, 200, Limits(rate))
    strict = draw_pairs(labels, 200, Limits(rate, strict=True))

    assert strict.positive_rate == pytest.approx(rate, abs=0.5 / len(strict))
    assert len(strict) <= len(loose)
    assert (loose.same.sum(), strict.same.sum()) == ((18, 18) if rate else (0, 0))


def test_large_identities_are_cut_down_and_small_ones_left_out():
    labels = labelled([1, 2, 5, 50])

    pairs = draw_pairs(labels, 10_000, Limits(at_least=2, at_most=4))

    used = np.unique(np.concatenate([pairs.a, pairs.b]))
    assert np.bincount(labels[used], minlength=10)[[0, 3, 6, 9]].tolist() == [0, 2, 4, 4]


def test_which_samples_of_a_large_identity_take_part_is_drawn():
    labels = np.repeat([0, 1], 100)

    taken = [set(draw_pairs(labels, 99, Limits(at_most=5), seed).a.tolist()) for seed in range(5)]

    assert len(set.union(*taken)) > 20


def test_the_same_seed_draws_the_same_pairs_and_another_draws_others():
    labels = labelled([20] * 20)

    first, again, other = (draw_pairs(labels, 100, seed=seed) for seed in (1, 1, 2))

    assert np.array_equal(first.a, again.a)
    assert np.array_equal(first.b, again.b)
    assert not np.array_equal(first.a, other.a)


def test_both_sides_are_alike():
    labels = labelled([5] * 40)

    pairs = draw_pairs(labels, 4000)

    impostors = ~pairs.same
    earlier = (labels[pairs.a] < labels[pairs.b])[impostors].mean()
    assert earlier == pytest.approx(0.5, abs=0.05)


@given(counts=sizes, share=st.floats(0, 1), seed=st.integers(0, 9))
def test_no_identity_is_on_both_sides_of_a_split(counts, share, seed):
    labels = labelled(counts)

    train, val = split_identities(labels, share, seed)

    assert set(labels[train]).isdisjoint(labels[val])
    assert sorted([*train, *val]) == list(range(len(labels)))
    assert len(set(labels[val])) == round(share * len(counts))


def test_a_manifest_reads_as_it_was_written(tmp_path):
    labels = labelled([4] * 5)
    names = [f'Gr"eek/{label} ä/{row}.png' for row, label in enumerate(labels)]
    pairs = draw_pairs(labels, 40)

    write_pairs(tmp_path / "pairs.tsv", names, pairs)
    found, read = read_pairs(tmp_path / "pairs.tsv")

    assert (tmp_path / "pairs.tsv").read_text().startswith("a\tb\tsame\n")
    assert [found[row] for row in read.a] == [names[row] for row in pairs.a]
    assert [found[row] for row in read.b] == [names[row] for row in pairs.b]
    assert np.array_equal(read.same, pairs.same)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "columns a b same"),
        ("left\tright\tsame\n", "columns a b same"),
        ("a\tb\tsame\nx\ty\t1\nx\ty\n", ":3: expected two names"),
        ("a\tb\tsame\nx\ty\tyes\n", ":2: expected two names and 1 or 0"),
    ],
)
def test_a_manifest_that_is_none_is_refused_with_its_line(tmp_path, text, told):
    (tmp_path / "pairs.tsv").write_text(text)

    with pytest.raises(ValueError, match=told):
        read_pairs(tmp_path / "pairs.tsv")


def test_a_name_that_would_break_the_manifest_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no tab"):
        write_pairs(tmp_path / "pairs.tsv", ["a\tb", "c"], draw_pairs(np.array([0, 0]), 1))


@pytest.mark.slow
def test_a_million_pairs_are_drawn_and_written_within_ten_seconds_of_processor_time(tmp_path):
    labels = labelled([60] * 1000)
    names = [str(row) for row in range(len(labels))]
    started = time.process_time()

    pairs = draw_pairs(labels, 1_000_000, Limits(at_least=2, at_most=50))
    write_pairs(tmp_path / "pairs.tsv", names, pairs)

    assert time.process_time() - started < 10
    assert (len(pairs), pairs.positive_rate) == (1_000_000, 0.5)
