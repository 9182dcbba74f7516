"""`python -m training evaluate` of two encoders, on folders of both sides."""

import json
import zipfile

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from models_store import open_bundle
from tests.drawings import draw
from tests.two_sided_bundles import make_two_sided_bundle, name_of
from training.__main__ import app
from training.sides import embed_sides, read_sides

SIGNS = range(30)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_two_sided_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Names in `a` and drawings in `b`, a folder for each sign, and a drawing that is none."""
    folder = tmp_path_factory.mktemp("signs")
    for sign in SIGNS:
        for side in "ab":
            (folder / side / f"id-{sign}").mkdir(parents=True)
        (folder / "a" / f"id-{sign}" / "name.txt").write_text(name_of(sign))
        for take in (0, 1):
            (folder / "b" / f"id-{sign}" / f"{take}.png").write_bytes(draw(sign, take))
    (folder / "b" / "id-3" / "broken.png").write_bytes(b"nothing")
    return folder


def test_each_side_is_embedded_by_its_encoder_and_identities_are_shared(bundle, folder):
    comparator = open_bundle(bundle)

    samples = embed_sides(comparator, *read_sides(comparator, folder))

    e = samples.embedded
    assert (np.bincount(e.of_b).tolist(), e.identities) == ([30, 60], 30)
    assert samples.identities[0] == "id-0"
    assert samples.groups is None
    first = e.embeddings[~e.of_b][0], e.embeddings[e.of_b][0]
    assert e.labels[~e.of_b][0] == e.labels[e.of_b][0]
    assert np.allclose(*first, atol=1e-5)  # a sign's name and its first drawing are one place
    assert samples.picture(0) is None
    assert samples.picture(30).startswith(b"\x89PNG")


def test_folders_of_groups_lie_within_those_of_sides(bundle, folder, tmp_path):
    packed = tmp_path / "signs.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("id-*/*")):
            side, identity, name = path.relative_to(folder).parts
            group = "even" if int(identity[3:]) % 2 == 0 else "odd"
            archive.write(path, f"{side}/{group}/{identity}/{name}")
    comparator = open_bundle(bundle)

    samples = embed_sides(comparator, *read_sides(comparator, packed))

    assert samples.groups == ("even", "odd")
    assert samples.identities[0] == "even/id-0"


def test_a_folder_without_a_side_is_refused(bundle, folder):
    with pytest.raises(typer.BadParameter, match="expected samples in a folder `a`"):
        read_sides(open_bundle(bundle), folder / "b")


@pytest.mark.slow
def test_the_report_of_both_sides_is_written_beside_their_embeddings(bundle, folder, tmp_path):
    out = tmp_path / "out"
    asked = ["evaluate", str(bundle), "--data", str(folder), "--out", str(out)]

    done = CliRunner().invoke(app, asked)

    assert done.exit_code == 0, done.output
    assert "30 samples of side a, 60 of side b" in done.output
    figures = json.loads((out / "figures.json").read_text())["figures"]
    assert {"auc", "recall@1 a→b, one of each", "recall@1 a→b, all"} <= {
        f["name"] for f in figures
    }
    report = json.loads((out / "report.json").read_text())
    assert report["about"]["sides"]["on_both"] == 30
    with np.load(out / "samples.npz") as arrays:
        assert np.unique(arrays["sides"]).tolist() == ["a", "b"]
    assert (out / "report.html").read_text().startswith("<!doctype html>")
