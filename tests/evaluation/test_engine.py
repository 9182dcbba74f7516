import numpy as np
import pytest

from evaluation.engine import evaluate
from evaluation.report import Figure, Part, Report
from tests.evaluation.embedded import named, noise, perfect


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
