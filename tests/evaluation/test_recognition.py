import numpy as np

from evaluation.recognition import measure_recognition
from tests.evaluation.embedded import named, noise, perfect


def quiet(_):
    """Progress that nobody looks at."""


def measured(embedded):
    return measure_recognition(named(embedded), 0, quiet)


def test_a_perfect_embedding_names_everybody_and_leaves_strangers_unknown():
    found = measured(perfect(20, 6))

    knn = found.accuracy[0]
    assert (knn.rule, knn.known.value, knn.unknown.value, knn.both.value) == ("knn", 1, 1, 1)
    assert all(cell.truth == cell.named for cell in found.confusion)
    unknown = sum(cell.count for cell in found.confusion if cell.truth is None)
    assert unknown == 20 * 3  # every identity was a stranger once, with half of its samples


def test_an_embedding_that_learnt_nothing_is_right_about_once_in_everybody():
    found = measured(noise(40, 6, spread=1e6))

    assert found.accuracy[0].known.value < 0.15


def test_the_confusion_matrix_counts_every_probe_once():
    found = measured(noise(12, 6, seed=2))

    known = sum(cell.count for cell in found.confusion if cell.truth is not None)
    strangers = sum(cell.count for cell in found.confusion if cell.truth is None)
    assert (known, strangers) == (12 * 3 * 4, 12 * 3)
    right = sum(c.count for c in found.confusion if c.truth == c.named and c.truth)
    assert found.accuracy[0].known.value == right / known


def test_of_three_identities_the_matrix_is_shown_and_no_accuracy_is_said():
    found = measured(perfect(3, 4))

    assert found.confusion
    assert found.accuracy[0].known.value is None
    assert "3 identities" in found.accuracy[0].known.too_few


def test_without_two_identities_of_two_samples_there_is_nothing_to_recognise():
    single = perfect(6, 4).only(np.arange(24) % 4 == 0)

    found = measured(single)

    assert found.too_few
    assert not found.accuracy
