import pytest

from training.datasets import open_collection, read_table
from training.recipe import Columns, Source, Table
from training.tables import read_tables

ROWS = [
    ("path", "speaker", "word", "split"),
    ("a/1.wav", "ann", "bed", "train"),
    ("a/2.wav", "ann", "cat", "val"),
    ("b/1.wav", "bo", "", "val"),
]


@pytest.fixture
def folder(tmp_path):
    for name in ("a/1.wav", "a/2.wav", "b/1.wav"):
        (tmp_path / "words" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "words" / name).write_bytes(name.encode())
    (tmp_path / "words" / "index.tsv").write_text("".join("\t".join(row) + "\n" for row in ROWS))
    return tmp_path


def test_a_table_says_which_files_there_are_and_whose(folder):
    found = open_collection(folder / "words" / "index.tsv")

    assert [(file.path, file.identity, file.split) for file in found.files] == [
        ("a/1.wav", "ann", "train"),
        ("a/2.wav", "ann", "val"),
        ("b/1.wav", "bo", "val"),
    ]
    assert found.read("a/2.wav") == b"a/2.wav"


def test_a_table_by_commas_may_quote(tmp_path):
    (tmp_path / "index.csv").write_text('path,label\n"a, b.wav",Ann\n')

    (file,) = open_collection(tmp_path / "index.csv").files

    assert (file.path, file.identity) == ("a, b.wav", "Ann")


def test_quotation_marks_between_tabs_are_letters(tmp_path):
    (tmp_path / "index.tsv").write_text('path\tlabel\n"a.wav\t5" disc\n')

    (file,) = open_collection(tmp_path / "index.tsv").files

    assert (file.path, file.identity) == ('"a.wav', '5" disc')


def test_columns_are_called_as_one_says(folder):
    columns = Columns(identity="word", group="speaker", drawer="split", splits=("train",))

    (file,) = read_table(folder / "words" / "index.tsv", columns).files

    assert (file.identity, file.group, file.drawer) == ("ann/bed", "ann", "train")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(identity="word"), "line 4: no word"),
        (Columns(path="file"), "line 2: no file"),
        (Columns(group="sex"), "line 2: no sex"),
    ],
)
def test_a_row_without_a_value_is_named(folder, columns, message):
    with pytest.raises(ValueError, match=message):
        read_table(folder / "words" / "index.tsv", columns)


def test_tables_side_by_side_keep_their_people_apart(folder):
    (folder / "more").mkdir()
    (folder / "more" / "list.tsv").write_text("path\tspeaker\tsplit\nx.wav\tann\ttrain\n")
    (folder / "more" / "x.wav").write_bytes(b"x")
    source = Source(
        name="n",
        licence="l",
        url="u",
        root=folder,
        tables=(
            Table(file="words/index.tsv", splits=("val",)),
            Table(file="more/list.tsv", identity="speaker"),
        ),
    )

    found = read_tables(source, folder)

    assert [(file.path, file.identity, file.group) for file in found.files] == [
        ("words/a/2.wav", "words/ann", "words"),
        ("words/b/1.wav", "words/bo", "words"),
        ("more/x.wav", "more/ann", "more"),
    ]
    assert [found.read(file.path) for file in found.files] == [b"a/2.wav", b"b/1.wav", b"x"]
