from dataclasses import replace

import numpy as np
import pytest

from evaluation.engine import evaluate
from evaluation.report import Figure, Part, Report, Sides
from tests.evaluation.embedded import named, noise, perfect, two_sides


@pytest.fixture(scope="module")
def report():
    return evaluate(named(noise(60, 4)))


def every_figure(part):
    """Every figure that a report holds."""
    if isinstance(part, Figure):
        yield part
    elif isinstance(part, Part):
        for name in type(part).model_fields:
            yield from every_figure(getattr(part, name))
    elif isinstance(part, tuple):
        for each in part:
            yield from every_figure(each)


def test_of_three_identities_no_number_is_said_and_each_tells_why():
    report = evaluate(named(perfect(3, 5)))

    figures = list(every_figure(report))
    assert len(figures) > 20
    assert all(figure.value is None and figure.too_few for figure in figures)
    assert report.open_set.too_few
    assert report.clustering_too_few


def test_every_number_has_an_interval_around_it_and_tells_who_was_counted(report):
    said = [figure for figure in every_figure(report) if figure.value is not None]
    assert len(said) > 100
    for figure in said:
        low, high = figure.interval
        assert low - 1e-9 <= figure.value <= high + 1e-9, figure
        assert figure.counted
        assert figure.too_few is None


def test_the_same_samples_and_seed_give_the_same_report_and_it_survives_json():
    samples = named(noise(10, 4))

    first, again = evaluate(samples, seed=3), evaluate(samples, seed=3)

    assert first.model_dump_json() == again.model_dump_json()
    assert Report.model_validate_json(first.model_dump_json()) == first


def test_progress_names_every_stage_and_never_goes_back():
    told = []

    evaluate(named(noise(12, 4)), progress=lambda stage, share: told.append((stage, share)))

    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert list(dict(told)) == [
        *("pairs", "open set", "recognition", "one-shot", "clustering", "likeness")
    ]


def test_strangers_of_the_comparator_among_the_samples_are_left_out_and_told():
    embedded = noise(8, 4)
    others = noise(10, 1, seed=1).embeddings
    halved = np.concatenate([embedded.embeddings[::8], others])

    report = evaluate(named(embedded, cohort=halved))

    assert "4 of the comparator's 14 strangers are among these samples" in report.about.warnings[0]


def test_copies_and_contradicting_labels_are_told():
    embedded = noise(10, 4)
    embedded.embeddings[1] = embedded.embeddings[0]
    embedded.embeddings[9] = embedded.embeddings[5]

    warnings = evaluate(named(embedded)).about.warnings

    assert warnings[0].startswith("2 samples have the same embedding")
    assert warnings[1].endswith("such as p001 and p002")


def test_groups_are_judged_by_everybodys_threshold(report):
    assert [row.group for row in report.groups] == ["g0", "g1"]
    assert sum(row.identities for row in report.groups) == 60
    everybody = report.pairs.operating_points[0].fnmr.value
    rates = [row.fnmr.value for row in report.groups]
    assert min(rates) <= everybody <= max(rates)


def test_a_single_identity_or_single_samples_have_no_pairs_to_judge():
    one = evaluate(named(perfect(1, 5), grouped=False))
    singles = evaluate(named(perfect(5, 4).only(np.arange(20) % 4 == 0)))

    assert one.pairs.eer.too_few == "there are no impostor pairs"
    assert singles.pairs.eer.too_few == "there are no genuine pairs"


@pytest.fixture(scope="module")
def across():
    return evaluate(named(two_sides(90, 2, 3, spread=1.0)))


def test_of_two_encoders_all_pairs_across_are_counted_and_no_other(across):
    assert (across.pairs.genuine, across.pairs.impostor) == (90 * 2 * 3, 90 * 89 * 2 * 3)
    assert across.about.sides == Sides(samples=(180, 270), identities=(90, 90), on_both=90)
    assert "one of 180 samples of side a with one of 270 of side b" in across.pairs.auc.counted
    assert across.pairs.reliability


def test_of_two_encoders_each_side_asks_the_other(across):
    asked = {(row.probes, row.decision) for row in across.open_set.rows}

    assert {("a", "served"), ("b", "served")} <= asked
    assert {row.probes for row in across.retrieval.rows} == {"a", "b"}
    assert {row.side for row in across.clustering} == {"a", "b"}
    assert across.posterior.too_few == (
        "no posterior, asked by side a: the comparator was not calibrated for one",
        "no posterior, asked by side b: the comparator was not calibrated for one",
    )


def test_what_makes_no_sense_of_two_encoders_is_absent_with_a_reason(across):
    assert not across.one_shot
    assert not across.places
    assert not across.recognition.accuracy
    assert sorted(across.absent) == ["one_shot", "places", "recognition"]
    assert all(across.absent.values())


def test_of_two_encoders_every_number_has_an_interval_around_it(across):
    said = [figure for figure in every_figure(across) if figure.value is not None]

    assert len(said) > 100
    for figure in said:
        low, high = figure.interval
        assert low - 1e-9 <= figure.value <= high + 1e-9, figure


def test_which_side_is_called_a_changes_no_pair():
    embedded = two_sides(12)

    there = evaluate(named(embedded)).pairs
    back = evaluate(named(replace(embedded, of_b=~embedded.of_b))).pairs

    assert (there.auc.value, there.eer.value) == (back.auc.value, back.eer.value)
    assert there.det == back.det


def test_a_mistake_across_shows_side_a_first(across):
    for each in (*across.confusions.impostor, *across.confusions.genuine):
        assert each.rows[0] < 180 <= each.rows[1]


def test_the_similarity_across_is_the_mean_score_of_a_side_with_the_other(across):
    embedded = named(two_sides(90, 2, 3, spread=1.0)).embedded
    first, second = across.similarity.identities[:2]
    of_a = (embedded.labels == int(first[1:])) & ~embedded.of_b
    of_b = (embedded.labels == int(second[1:])) & embedded.of_b

    far = 1 - embedded.embeddings[of_a] @ embedded.embeddings[of_b].T

    assert across.similarity.scores[0][1] == pytest.approx(embedded.score(far).mean(), abs=1e-4)


def test_who_is_on_one_side_only_is_told():
    embedded = two_sides(12)

    report = evaluate(named(embedded.only(~embedded.of_b | (embedded.labels < 10))))

    assert report.about.warnings[0].startswith("2 identities are on one side only")
    assert report.about.sides.on_both == 10


def test_equal_embeddings_of_two_sides_are_no_copies():
    embedded = two_sides(12, 1, 1)
    embedded.embeddings[embedded.of_b] = embedded.embeddings[~embedded.of_b]

    assert evaluate(named(embedded)).about.warnings == ()


def test_strangers_of_either_side_among_the_samples_are_left_out_and_told():
    embedded = two_sides(30)
    samples = named(embedded)
    served = samples.served
    of_b = replace(served, cohort=embedded.embeddings[embedded.of_b][:7])

    report = evaluate(replace(samples, served=replace(served, of_b=of_b)))

    (warning,) = report.about.warnings
    assert warning.startswith("side b: 7 of the comparator's 7 strangers are among these samples")
