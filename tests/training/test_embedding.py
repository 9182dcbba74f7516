import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from models_store.bundle import open_bundle
from models_store.sample import Sample
from tests.bundles import make_bundle
from training import embedding
from training.datasets import open_collection
from training.embedding import EMBEDDINGS, FILES, OtherData, embed_collection


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "bundles")


def contents(out):
    return (out / EMBEDDINGS).read_bytes(), (out / FILES).read_bytes()


def test_every_file_has_its_row_and_a_broken_one_its_reason(bundle, glyphs, tmp_path):
    (glyphs / "pictures" / "Arcs" / "character00" / "0_99.png").write_bytes(b"no picture")
    comparator, collection = open_bundle(bundle), open_collection(glyphs / "pictures")

    embed_collection(comparator, collection, tmp_path / "out")

    rows = np.load(tmp_path / "out" / EMBEDDINGS)
    lines = [line.split("\t") for line in (tmp_path / "out" / FILES).read_text().splitlines()[1:]]
    assert len(rows) == len(lines) == len(collection.files)
    broken = [i for i, line in enumerate(lines) if line[3]]
    assert [lines[i][0] for i in broken] == ["Arcs/character00/0_99.png"]
    assert np.isnan(rows).any(axis=1).nonzero()[0].tolist() == broken
    alone = comparator.embed([comparator.prepare(Sample(collection.read(lines[7][0])))])
    assert np.allclose(rows[7], alone[0], atol=1e-6)
    assert lines[7][1] == "Arcs/character01"


@pytest.mark.slow
def test_a_run_killed_in_the_middle_goes_on_to_the_same_bytes(
    bundle, glyphs, tmp_path, monkeypatch
):
    monkeypatch.setattr(embedding, "BLOCK", 1)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    embed_collection(open_bundle(bundle), open_collection(glyphs / "pictures"), whole)
    # Blocks of one file, each a while apart, so that the kill falls between two.
    slow = (
        "import sys, time; from pathlib import Path; import training.embedding as e\n"
        "from models_store.bundle import open_bundle\n"
        "from training.datasets import open_collection\n"
        "e.BLOCK = 1\n"
        "steps = lambda starts: (time.sleep(0.05) or start for start in starts)\n"
        "bundle, data, out = map(Path, sys.argv[1:])\n"
        "e.embed_collection(open_bundle(bundle), open_collection(data), out, 'a', steps)\n"
    )
    command = [sys.executable, "-c", slow, str(bundle), str(glyphs / "pictures"), str(killed)]
    child = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while len(list((killed / "blocks").glob("*.npz"))) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()

    done = {path: path.stat().st_mtime_ns for path in (killed / "blocks").glob("0*[0-9].npz")}
    assert not (killed / EMBEDDINGS).exists()
    subprocess.run(command, check=True)
    assert contents(killed) == contents(whole)
    assert all(path.stat().st_mtime_ns == written for path, written in done.items())


def test_embeddings_of_other_files_are_not_mixed_in(bundle, glyphs, tmp_path):
    comparator, collection = open_bundle(bundle), open_collection(glyphs / "pictures")
    embed_collection(comparator, collection, tmp_path / "out")

    fewer = collection.chosen(lambda file: file.group == "Arcs")
    with pytest.raises(OtherData):
        embed_collection(comparator, fewer, tmp_path / "out")
