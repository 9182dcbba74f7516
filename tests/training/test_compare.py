import re

import pytest
from PIL import Image

from evaluation.report import Figure
from training.compare import COLUMNS, Line, markdown
from training.pairs import read_pairs


def figures(*values):
    return tuple(Figure(value=value, counted="some") for value in values)


def test_the_line_that_misses_fewest_stands_first_and_what_is_unknown_last():
    lines = [
        Line("unknown", "l1", figures(None, 0.1, 0.5, 0.5), None),
        Line("worse", "l2", figures(0.3, 0.1, 0.5, 0.5), 0.25),
        Line("better", "cosine", figures(0.2, 0.4, 0.5, 0.5), None),
    ]

    rows = markdown(lines).splitlines()

    assert [row.split("|")[1].strip() for row in rows] == [
        *("loss", "---", "better", "worse", "unknown")
    ]
    assert rows[3].endswith("| 0.25 |")
    assert "| – |" in rows[4]


@pytest.mark.slow
def test_each_loss_is_fitted_alone_and_judged_by_one_protocol(run, recipe_file, glyphs, tmp_path):
    kinds = ("triplet-all", "bce-elementwise")
    losses = "".join(f'\n[[losses]]\nkind = "{kind}"\n' for kind in kinds)
    rates = "\nlearning_rate = 1e-3\nproxy_learning_rate = 1e-2\n"
    text = recipe_file.read_text().replace("\nlearning_rate = 1e-3\n", rates)
    recipe_file.write_text(text + losses)

    told = run("compare", recipe_file, "--data", glyphs, "--out", tmp_path / "out")
    again = run("compare", recipe_file, "--data", glyphs, "--out", tmp_path / "out")

    table = (tmp_path / "out" / "table.md").read_text()
    assert table in told
    assert table in again  # from the checkpoints, heads and counts included
    names = re.findall(r"^\| (\S+) \|", table, re.MULTILINE)
    assert sorted(names) == sorted(["loss", "---", "untrained", "supcon", *kinds])
    assert all(column in table for column in COLUMNS)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("table.md", "maps.png", "supcon", *kinds)
    }
    with Image.open(tmp_path / "out" / "maps.png") as drawn:
        assert drawn.width > 3 * 300  # side by side


def test_pairs_of_a_folder_are_written_with_their_rate_and_no_identity_in_both(
    run, glyphs, tmp_path
):
    told = run(
        *("pairs", glyphs / "pictures", "--out", tmp_path / "pairs", "--count", 60),
        *("--positive-rate", 0.25, "--val-share", 0.5),
    )

    identities = []
    for split in ("train", "val"):
        names, pairs = read_pairs(tmp_path / "pairs" / f"{split}.tsv")
        identities.append({name.rpartition("/")[0] for name in names})
        assert (len(pairs), pairs.positive_rate) == (60, 0.25)
    assert identities[0].isdisjoint(identities[1])
    assert "0.2500 of them genuine" in " ".join(told.split())
