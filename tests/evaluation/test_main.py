import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluation.report import Report
from models_store.manifest import Calibration
from tests.bundles import make_bundle
from tests.evaluation.embedded import noise, two_sides
from tests.two_sided_bundles import make_two_sided_bundle

ROOT = Path(__file__).parents[2]
HEAD = {"bundle": None, "metric": "cosine", "head": {"weight": 12, "bias": 4}}


def fill(folder, embedded, request, **arrays):
    folder.mkdir(exist_ok=True)
    identities = np.array([f"p{label}" for label in embedded.labels])
    given = {"embeddings": embedded.embeddings, "identities": identities} | arrays
    np.savez(folder / "samples.npz", **given)
    (folder / "request.json").write_text(json.dumps(request))
    return folder


def run(folder, *, code="-m evaluation"):
    command = [sys.executable, *code.split(" ", 1), str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_folder_gets_its_report_twice_the_same(tmp_path):
    written = []
    for name in ("a", "b"):
        folder = fill(tmp_path / name, noise(12, 4), HEAD)
        done = run(folder)
        assert done.returncode == 0, done.stderr
        written.append([(folder / file).read_bytes() for file in ("report.json", "report.html")])

    assert written[0] == written[1]
    report = Report.model_validate_json(written[0][0])
    assert (report.about.samples, report.about.identities) == (48, 12)
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert told[-1]["share"] == 1
    assert {file.name for file in folder.iterdir()} == {
        *("samples.npz", "request.json", "report.json", "report.html")
    }


@pytest.mark.slow
def test_a_bundle_is_evaluated_as_it_is_served(tmp_path):
    bundle = make_bundle(tmp_path, cohort=60)
    groups = np.array([f"g{i % 2}" for i in noise(30, 5).labels])
    request = {"bundle": str(bundle), "title": "Ours", "calibrate": True}

    done = run(fill(tmp_path / "x", noise(30, 5), request, groups=groups))

    assert done.returncode == 0, done.stderr
    report = Report.model_validate_json((tmp_path / "x" / "report.json").read_bytes())
    assert (report.about.title, report.about.bundle) == ("Ours", "tiny@1")
    assert report.open_set.rows[0].strangers == "as-served"
    assert [row.group for row in report.groups] == ["g0", "g1"]
    written = (tmp_path / "x" / "calibration.json").read_bytes()
    calibration = Calibration.model_validate_json(written)
    assert calibration.posterior
    assert calibration.genuine


def test_too_few_to_calibrate_is_told_and_nothing_is_written(tmp_path):
    bundle = make_bundle(tmp_path)

    done = run(fill(tmp_path / "x", noise(3, 5), {"bundle": str(bundle), "calibrate": True}))

    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "x" / "calibration.json").exists()
    report = Report.model_validate_json((tmp_path / "x" / "report.json").read_bytes())
    assert "not calibrated" in report.about.warnings[-1]


def test_neither_torch_nor_onnxruntime_is_loaded(tmp_path):
    code = (
        "-c import sys; from evaluation.__main__ import main; main(sys.argv[1:]); "
        "print(*{'torch', 'onnxruntime', 'PIL.Image'} & set(sys.modules), file=sys.stdout)"
    )
    bundle = make_bundle(tmp_path)

    done = run(fill(tmp_path / "x", noise(5, 3), {"bundle": str(bundle)}), code=code)

    assert (tmp_path / "x" / "report.json").exists()
    assert "torch" not in done.stdout
    assert "onnxruntime" not in done.stdout


@pytest.mark.parametrize(
    ("request_", "arrays", "detail"),
    [
        ({}, {}, "expected a bundle, or a metric and a head"),
        (HEAD | {"metric": "dice"}, {}, "metric"),
        (HEAD | {"head": {"weight": -1, "bias": 0}}, {}, "head.weight"),
        ({"bundle": "/nowhere"}, {}, "the folder cannot be read"),
        (HEAD, {"identities": np.array(["a"])}, "expected 48 strings as `identities`"),
        (HEAD, {"groups": np.arange(48)}, "expected 48 strings as `groups`"),
        (HEAD, {"sides": np.array(["a"] * 47 + ["c"])}, "expected `sides` of a and b, got c"),
        (HEAD, {"sides": np.array(["a"] * 48)}, "got none of side b"),
        (HEAD, {"embeddings": np.full((48, 8), np.nan, np.float32)}, "NaN"),
        (HEAD, {"embeddings": np.ones((48, 8), np.float32)}, "norms of 1"),
        (HEAD, {"embeddings": np.ones(48, np.float32)}, "embeddings (n, d)"),
        (HEAD, {"identities": np.array([{}] * 48, object)}, "samples.npz cannot be read"),
    ],
)
def test_what_cannot_be_evaluated_says_in_its_last_line_what_was_expected(
    tmp_path, request_, arrays, detail
):
    from evaluation.samples import NotEvaluable, read_request, read_samples

    folder = fill(tmp_path / "x", noise(12, 4), request_, **arrays)

    with pytest.raises(NotEvaluable) as raised:
        read_samples(folder, read_request(folder))
    assert detail in str(raised.value)


def test_a_bundle_of_two_encoders_wants_sides_and_one_of_one_encoder_none(tmp_path):
    from evaluation.samples import NotEvaluable, read_request, read_samples

    two, one = make_two_sided_bundle(tmp_path, dimension=8), make_bundle(tmp_path)
    sides = np.array(["a", "b"] * 24)
    for bundle, arrays, told in (
        (two, {}, "signs@1 has two encoders: expected `sides` of a and b"),
        (one, {"sides": sides}, "tiny@1 has one encoder: expected no `sides`"),
    ):
        folder = fill(tmp_path / "x", noise(12, 4), {"bundle": str(bundle)}, **arrays)

        with pytest.raises(NotEvaluable, match=told):
            read_samples(folder, read_request(folder))


@pytest.mark.slow
def test_a_bundle_of_two_encoders_is_evaluated_as_it_is_served_in_each_direction(tmp_path):
    bundle = make_two_sided_bundle(tmp_path, dimension=8)
    embedded = two_sides(40)
    sides = np.where(embedded.of_b, "b", "a")
    request = {"bundle": str(bundle), "calibrate": True}

    done = run(fill(tmp_path / "x", embedded, request, sides=sides))

    assert done.returncode == 0, done.stderr
    report = Report.model_validate_json((tmp_path / "x" / "report.json").read_bytes())
    served = {row.probes for row in report.open_set.rows if row.strangers == "as-served"}
    assert served == {"a", "b"}
    cuts = {row.side: row.cut for row in report.clustering if row.cut_from == "bundle"}
    assert cuts == {"a": 0.99, "b": 0.6}
    assert "not calibrated: " in report.about.warnings[-1]
    assert not (tmp_path / "x" / "calibration.json").exists()


def test_an_empty_folder_ends_with_status_two_and_one_line(tmp_path):
    done = run(tmp_path)

    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert json.loads(line)["detail"].startswith("request.json cannot be read")


@pytest.mark.slow
def test_twenty_thousand_samples_take_less_than_a_gigabyte(tmp_path):
    random = np.random.default_rng(0)
    labels = np.arange(20_000) % 1000
    points = random.normal(size=(1000, 128))[labels] + 1.5 * random.normal(size=(20_000, 128))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    folder = tmp_path / "x"
    folder.mkdir()
    np.savez(folder / "samples.npz", embeddings=points, identities=labels.astype(str))
    (folder / "request.json").write_text(json.dumps(HEAD))

    # Asked of a process that has no other child: pytest has had many, and larger ones.
    told = (
        "import resource, subprocess, sys;"
        "done = subprocess.run([sys.executable, '-m', 'evaluation', sys.argv[1]]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss);"  # KiB
        "sys.exit(done.returncode)"
    )
    command = [sys.executable, "-c", told, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 2**20
    report = Report.model_validate_json((folder / "report.json").read_bytes())
    assert report.pairs.genuine + report.pairs.impostor == 20_000 * 19_999 // 2
