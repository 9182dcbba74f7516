from evaluation.figures import controls, evaluate, one_shot
from tests.evaluation.embedded import noise, perfect


def values(figures):
    return {figure.name: figure.value for figure in figures}


def test_a_manifest_records_the_figures_that_there_are_enough_for():
    found = values(evaluate(perfect(60, 3)))

    assert found["eer"] == 0
    assert found["auc"] == 1
    assert found["20-way one-shot within groups"] == 1
    assert found["20-way one-shot across groups"] == 1
    assert found["fpir@fpir=0.05, N=20, like-cohort strangers"] == 0
    assert found["fnir@fpir=0.05, N=20, like-cohort strangers"] == 0
    assert found["fnir@fpir=0.05, N=20, like-cohort strangers, tied vote"] == 1
    assert found["ari of linkage"] == 1
    assert not [name for name in found if "N=100" in name or "fnmr@fmr=0.0001" in name]


def test_the_same_seed_gives_the_same_figures_and_controls_are_named_so():
    embedded = noise(10, 4)

    assert evaluate(embedded, seed=3) == evaluate(embedded, seed=3)
    found = list(controls(embedded, 3))
    assert found
    assert all(figure.name.endswith(", untrained encoder") for figure in found)


def test_one_shot_says_nothing_of_too_few():
    assert [*one_shot(perfect(24), 0, within_groups=True)] == []
    assert len([*one_shot(perfect(40), 0, within_groups=True, trials=4)]) == 1
