import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import roc_auc_score

from models_store.bundle import open_bundle
from models_store.manifest import OperatingPoint
from models_store.sample import Sample
from tests.text_bundles import make_text_bundle
from training.text_pairs import (
    area,
    measure_text_pairs,
    paraphrase_groups,
    read_text_pairs,
    served_distances,
    spearman,
    together,
)

POINTS = (OperatingPoint(fmr=0.1, threshold=0.5, fnmr=0.2),)


def table(tmp_path, content, name="pairs.tsv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pairs_of(tmp_path, *rows):
    lines = ["\t".join(map(str, row)) for row in rows]
    return read_text_pairs(table(tmp_path, "\n".join(["a\tb\tscore", *lines])))


def test_a_table_by_tabs_has_quotes_like_any_other_character(tmp_path):
    path = table(tmp_path, 'score\tsentence1\tsentence2\n4.5\tHe said "no\tShe said "no"\n')

    pairs = read_text_pairs(path)

    assert pairs.texts == ('He said "no', 'She said "no"')
    assert pairs.scores.tolist() == [4.5]


def test_a_table_by_commas_has_quoted_texts_and_a_column_same(tmp_path):
    path = table(tmp_path, '\ufefftext1,text2,same\n"one, two",three,yes\nthree,four,0\n', "p.csv")

    pairs = read_text_pairs(path)

    assert pairs.texts == ("one, two", "three", "four")
    assert pairs.same().tolist() == [True, False]
    assert not pairs.graded
    assert (pairs.a.tolist(), pairs.b.tolist()) == ([0, 1], [1, 2])


def test_the_column_of_scores_can_be_named(tmp_path):
    path = table(tmp_path, "text_a\ttext_b\tscore\tgold\nx\ty\t1\t3\n")

    assert read_text_pairs(path, "gold").scores.tolist() == [3]


def test_a_line_that_is_no_pair_is_told_and_left_out(tmp_path):
    path = table(tmp_path, "a\tb\tsame\nx\ty\t1\nx\t\t1\nx\tz\tperhaps\nx\nv\tw\tnan\np\tq\tno\n")

    pairs = read_text_pairs(path)

    assert len(pairs) == 2
    assert [said.split(": ")[1] for said in pairs.broken] == [f"line {n}" for n in (3, 4, 5, 6)]


@pytest.mark.parametrize("header", ["", "a\tc\tsame", "a\tb\tgold"])
def test_a_table_without_its_columns_says_what_it_should_have(tmp_path, header):
    with pytest.raises(ValueError, match=r"expected columns sentence1\+sentence2 or .* same or"):
        read_text_pairs(table(tmp_path, f"{header}\nx\ty\tz\n"))


def test_of_graded_pairs_it_must_be_said_which_are_the_same(tmp_path):
    pairs = pairs_of(tmp_path, ("x", "y", 1), ("y", "z", 4), ("x", "z", 5))

    assert pairs.same(4).tolist() == [False, True, True]
    with pytest.raises(ValueError, match="from which score"):
        pairs.same()


def test_groups_are_those_that_a_chain_of_same_pairs_joins(tmp_path):
    pairs = pairs_of(
        tmp_path, ("p", "q", 5), ("q", "r", 4), ("r", "s", 2), ("t", "u", 5), ("v", "p", 0)
    )

    groups = dict(zip(pairs.texts, paraphrase_groups(pairs, 4).tolist(), strict=True))

    assert groups["p"] == groups["q"] == groups["r"]
    assert groups["t"] == groups["u"]
    assert len(set(groups.values())) == 4


def test_tables_are_brought_to_one_scale_joined_and_held_apart(tmp_path):
    stars = pairs_of(tmp_path, ("x", "y", 1), ("y", "z", 3), ("x", "z", 5)).scaled()
    marks = pairs_of(tmp_path, ("z", "y", 0), ("v", "w", 10)).scaled()

    both = together([stars, marks])

    assert both.scores.tolist() == [0, 0.5, 1, 0, 1]
    assert both.texts == ("x", "y", "z", "v", "w")
    assert stars.without(marks).rows == [("x", "y", 0.0), ("x", "z", 1.0)]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), min_size=3, max_size=40).filter(
        lambda rows: all(len(set(column)) > 1 for column in zip(*rows, strict=True))
    )
)
def test_figures_are_those_of_scipy_and_scikit_learn(rows):
    scores, near = np.array(rows, np.float64).T
    same = scores > scores.min()

    assert spearman(near, scores) == pytest.approx(spearmanr(near, scores).statistic, abs=1e-9)
    assert area(near, same) == pytest.approx(roc_auc_score(same, near), abs=1e-9)
    both = spearman(np.array([near, -near]), np.array([scores, scores]))
    assert both.tolist() == pytest.approx([spearman(near, scores), -spearman(near, scores)])


def test_operating_points_are_held_to_pairs_that_people_judged(tmp_path):
    pairs = pairs_of(tmp_path, *[(f"a{i}", f"b{i}", said) for i, said in enumerate([0, 1, 4, 5])])

    found = measure_text_pairs(
        pairs, np.array([0.9, 0.2, 0.3, 0.8]), lambda far: 1 - far, POINTS, 4
    )

    figures = {metric.name: metric.value for metric in found}
    assert figures["fmr at fmr=0.1"] == 0.5
    assert figures["fnmr at fmr=0.1"] == 0.5
    assert figures["pair auc"] == 0.5
    graded = measure_text_pairs(pairs, np.array([0.9, 0.2, 0.3, 0.8]), lambda far: 1 - far, POINTS)
    assert [metric.name for metric in graded] == ["spearman"]


def test_pairs_that_are_all_as_alike_measure_nothing(tmp_path):
    pairs = pairs_of(tmp_path, ("x", "y", 3), ("y", "z", 3))

    with pytest.raises(ValueError, match="all as alike"):
        measure_text_pairs(pairs, np.array([0.1, 0.2]), np.negative, POINTS)


def test_a_figure_lies_in_its_interval_and_more_pairs_make_that_narrower(tmp_path):
    random = np.random.default_rng(0)

    def width(count):
        said = random.integers(0, 6, count)
        far = 5 - said + random.normal(size=count)
        pairs = pairs_of(tmp_path, *[(f"a{i}", f"b{i}", s) for i, s in enumerate(said)])
        metric, *_ = measure_text_pairs(pairs, far, np.negative, ())
        assert metric.interval[0] < metric.value < metric.interval[1]
        assert kendalltau(-far, said).statistic < metric.value  # the stricter of the two
        return metric.interval[1] - metric.interval[0]

    assert width(400) < width(40)


def test_distances_are_those_of_a_bundle_as_it_is_served(tmp_path):
    comparator = open_bundle(make_text_bundle(tmp_path))
    long = "The man plays the flute. " * 30
    pairs = pairs_of(
        tmp_path, ("A dog.", "The dog!", 1), (long, "A boat.", 0), ("A dog.", long, 0)
    )

    found = served_distances(comparator, pairs)

    for a, b, far in zip(pairs.a, pairs.b, found, strict=True):
        one, other = (
            comparator.embed([comparator.prepare(Sample(pairs.texts[row].encode()))])
            for row in (a, b)
        )
        assert far == pytest.approx(float(comparator.distance(one, other)[0]), abs=1e-6)
