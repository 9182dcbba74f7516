import json

import numpy as np
import pytest

from models_store.bundle import open_bundle
from tests.bundles import make_bundle
from tests.drawings import draw


def test_a_recipe_becomes_a_bundle_that_can_be_measured(run, recipe_file, glyphs, tmp_path):
    fitted, bundle, report = (tmp_path / name for name in ("run", "bundle", "report"))

    run("fit", recipe_file, "--data", glyphs, "--out", fitted)
    again = run("fit", recipe_file, "--data", glyphs, "--out", fitted)
    run("export", recipe_file, "--data", glyphs, "--run", fitted, "--out", bundle)
    run("evaluate", bundle, "--data", glyphs, "--out", report)

    assert "resuming from" in again
    manifest = open_bundle(bundle).manifest
    assert (manifest.title, manifest.provenance.seed) == ("glyphs@1", 7)
    figures = json.loads((report / "figures.json").read_text())["figures"]
    exported = {metric.name: metric.value for metric in manifest.metrics}
    assert {f["name"]: f["value"] for f in figures}["eer"] == pytest.approx(exported["eer"])
    assert {file.name for file in report.iterdir()} == {
        "figures.json",
        "report.json",
        "report.html",
        "samples.npz",
        "turned.npz",
    }
    with np.load(report / "samples.npz") as samples:
        assert {len(each) for each in samples.values()} == {6 * 5}
    names = {figure["name"] for figure in figures}
    assert {"eer", "eer, untrained encoder"} <= names
    assert "<svg" in (report / "report.html").read_text()


@pytest.mark.parametrize(
    ("loss", "distance", "normalised"),
    [
        ('kind = "bce-elementwise"', "l1", False),
        ('kind = "bce-elementwise"\ndistance = "l2"', "l2", False),
        ('kind = "triplet-semi-hard"', "l2", True),
        ('kind = "bce"\ndistance = "l1"', "l1", True),
    ],
)
def test_a_bundle_is_compared_by_the_distance_that_its_loss_has(
    run, recipe_file, glyphs, tmp_path, loss, distance, normalised
):
    supcon = 'kind = "supcon"\nparameters = { temperature = 0.1 }'
    rates = "\nlearning_rate = 1e-3\nproxy_learning_rate = 1e-2\n"
    text = recipe_file.read_text().replace(supcon, loss)
    recipe_file.write_text(text.replace("\nlearning_rate = 1e-3\n", rates))

    run("fit", recipe_file, "--data", glyphs, "--out", tmp_path / "run")
    run(
        *("export", recipe_file, "--data", glyphs),
        *("--run", tmp_path / "run", "--out", tmp_path / "bundle"),
    )
    run("evaluate", tmp_path / "bundle", "--data", glyphs, "--out", tmp_path / "report")

    comparator = open_bundle(tmp_path / "bundle")
    assert comparator.manifest.distance == distance
    assert comparator.manifest.normalised is normalised
    norms = np.linalg.norm(comparator.cohort, axis=1)
    assert (np.abs(norms - 1) < 1e-2).all() == normalised
    figures = json.loads((tmp_path / "report" / "figures.json").read_text())["figures"]
    exported = {metric.name: metric.value for metric in comparator.manifest.metrics}
    assert {f["name"]: f["value"] for f in figures}["eer"] == pytest.approx(exported["eer"])


def test_a_folder_of_folders_of_ones_own_is_evaluated_too(run, tmp_path):
    bundle = make_bundle(tmp_path)
    folder = tmp_path / "mine"
    for person in range(6):
        (folder / f"p{person}").mkdir(parents=True)
        for i in range(3):
            (folder / f"p{person}" / f"{i}.png").write_bytes(draw(person, i))

    run("evaluate", bundle, "--data", folder, "--out", tmp_path / "report")

    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["about"]["identities"] == 6
    assert report["about"]["groups"] is None  # each folder would be a group of its own
    assert report["confusions"]["impostor"][0]["pictures"][0].startswith("data:image/png;base64,")


def test_held_back_identities_are_in_no_calibration_and_no_cohort(
    run, recipe_file, glyphs, tmp_path
):
    run("fit", recipe_file, "--data", glyphs, "--out", tmp_path / "run")
    run(
        *("export", recipe_file, "--data", glyphs),
        *("--run", tmp_path / "run", "--out", tmp_path / "bundle"),
    )

    comparator = open_bundle(tmp_path / "bundle")
    assert len(comparator.cohort) == 5  # of six characters one is held back
    assert "30 samples of 6 identities" in comparator.manifest.metrics[0].protocol


def test_a_bundle_is_calibrated_again_from_its_own_encoder(run, recipe_file, glyphs, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    run("fit", recipe_file, "--data", glyphs, "--out", tmp_path / "run")
    run("export", recipe_file, "--data", glyphs, "--run", tmp_path / "run", "--out", first)
    recipe_file.write_text(recipe_file.read_text() + "\n[export]\nby_group = true\n")

    run("recalibrate", recipe_file, first, "--data", glyphs, "--out", second)

    before, after = open_bundle(first), open_bundle(second)
    assert (second / "encoder.onnx").read_bytes() == (first / "encoder.onnx").read_bytes()
    eer = {metric.name: metric.value for metric in before.manifest.metrics}["eer"]
    assert {metric.name: metric.value for metric in after.manifest.metrics}["eer"] == eer
    assert before.cohort_groups is None
    assert after.cohort_groups.tolist() == [0] * 5  # characters of one alphabet
