import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from evaluation.retrieval import measure_retrieval
from index.gallery import distances
from tests.evaluation.embedded import named, two_sides


def found(embedded, probes, references, rank):
    section = measure_retrieval(named(embedded), 0)
    (row,) = [
        row
        for row in section.rows
        if (row.probes, row.references, row.rank) == (probes, references, rank)
    ]
    return row


@pytest.mark.parametrize("rank", [1, 5, 10])
@pytest.mark.parametrize("probes", ["a", "b"])
def test_recall_among_all_is_the_accuracy_of_the_first_few_by_best_sample(probes, rank):
    embedded = two_sides(40, spread=1.5)
    asking = embedded.of_b == (probes == "b")

    row = found(embedded, probes, "all", rank)

    far = distances(embedded.embeddings[asking], embedded.embeddings[~asking], "cosine")
    owners = embedded.labels[~asking]
    best = np.stack([-far[:, owners == i].min(axis=1) for i in range(40)], axis=1)
    expected = top_k_accuracy_score(embedded.labels[asking], best, k=rank)
    assert row.found.value == pytest.approx(expected, abs=1e-9)
    assert row.found.interval[0] < row.found.value < row.found.interval[1]
    assert (row.identities, row.chance) == (40, rank / 40)


def test_one_sample_of_each_is_drawn_as_often_as_there_are_samples():
    embedded = two_sides(40, spread=1.5)

    several = found(embedded, "a", "one of each", 1)
    single = measure_retrieval(named(two_sides(40, 1, 1)), 0)

    assert "in 3 galleries of one sample of each" in several.found.counted
    assert {row.references for row in single.rows} == {"one of each"}


def test_who_is_on_one_side_only_is_passed_by_and_never_asked_for():
    embedded = two_sides(40, spread=1.5)
    without = embedded.only(~embedded.of_b | (embedded.labels < 30))

    by_a, by_b = (found(without, probes, "all", 1) for probes in "ab")

    assert "60 probes of side a, 30 identities, among 30 identities" in by_a.found.counted
    assert "90 probes of side b, 30 identities, among 40 identities" in by_b.found.counted


def test_a_tie_counts_as_lost():
    embedded = two_sides(20)
    embedded.embeddings[:] = embedded.embeddings[0]

    assert found(embedded, "a", "all", 10).found.value == 0


def test_of_five_identities_the_first_five_say_nothing():
    figure = found(two_sides(5), "a", "all", 5).found

    assert figure.value is None
    assert figure.too_few == "of 5 identities everybody is among the first 5"
