import io
import zipfile

import pytest

from models_store import ReadyEmbedding, Sample
from service.parameters import InvalidParameter
from service.requests.fields import EvaluateFields
from service.requests.labelled import read_labelled
from service.requests.upload import Upload, UploadLimits

LIMITS = UploadLimits(body=10**6, file=10**5, files=50, embeddings=50, archive=10**6)


def files(*names):
    samples = [Sample(f"{i}".encode()) for i in range(len(names))]
    return Upload({"files": samples}, {"files": list(names)}, textual=True)


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return Upload({"archive": [Sample(buffer.getvalue())]}, {"archive": ["a.zip"]})


def labels(upload, **fields):
    _, found = read_labelled(upload, EvaluateFields(**fields), LIMITS)
    return [(label.identity, label.person, label.group) for label in found]


@pytest.mark.parametrize("upload", [files, zipped])
def test_the_folder_of_a_file_is_its_identity(upload):
    assert labels(upload("ada/1.png", "bob/1.png")) == [
        ("ada", "ada", None),
        ("bob", "bob", None),
    ]


@pytest.mark.parametrize("upload", [files, zipped])
def test_the_folder_around_identities_is_their_group(upload):
    named = labels(upload("greek/01/1.png", "latin/01/1.png"))

    assert named == [("greek/01", "01", "greek"), ("latin/01", "01", "latin")]


@pytest.mark.parametrize("upload", [files, zipped])
def test_a_folder_that_all_share_does_not_count(upload):
    shared = labels(upload("./my faces/ada/1.png", "my faces/bob/1.png"))
    deeper = labels(upload("x/y/greek/01/1.png", "x/y/latin/01/1.png"))

    assert shared == [("ada", "ada", None), ("bob", "bob", None)]
    assert [label[0] for label in deeper] == ["greek/01", "latin/01"]


def test_a_note_beside_the_folders_of_an_archive_does_not_count():
    noted = labels(zipped("drawings/LICENSE", "drawings/ada/1.png", "drawings/bob/1.png"))

    assert [label[0] for label in noted] == ["ada", "bob"]


def test_lists_say_it_for_files_whatever_they_are_called():
    upload = files("x", None, "../y")

    assert labels(upload, identities=["ada", "ada", "bob"], groups=["f", "f", "m"]) == [
        ("ada", "ada", "f"),
        ("ada", "ada", "f"),
        ("bob", "bob", "m"),
    ]


def sides(upload, **fields):
    _, found = read_labelled(upload, EvaluateFields(**fields), LIMITS, two_sided=True)
    return [(label.side, label.identity, label.group, label.name) for label in found]


@pytest.mark.parametrize("upload", [files, zipped])
def test_of_two_encoders_the_outermost_folder_is_the_side(upload):
    told = sides(upload("mine/a/ada/1.txt", "mine/b/ada/1.png"))
    grouped = sides(upload("a/greek/01/1.txt", "b/greek/01/1.png"))

    assert told == [("a", "ada", None, "a/ada/1.txt"), ("b", "ada", None, "b/ada/1.png")]
    assert grouped[0] == ("a", "greek/01", "greek", "a/greek/01/1.txt")
    assert [label[:2] for label in grouped] == [("a", "greek/01"), ("b", "greek/01")]


def test_of_two_encoders_lists_say_the_side():
    told = sides(files("x", "y"), identities=["ada", "ada"], sides=["b", "a"])

    assert [label[:2] for label in told] == [("b", "ada"), ("a", "ada")]


def test_notes_beside_the_folders_of_either_side_do_not_count():
    told = sides(zipped("LICENSE", "a/about.txt", "a/ada/1.txt", "b/ada/1.png"))

    assert [label[3] for label in told] == ["a/ada/1.txt", "b/ada/1.png"]


@pytest.mark.parametrize(
    ("upload", "fields", "where"),
    [
        (files("a/ada/1.png", "c/ada/1.png"), {}, "files"),
        (files("a/ada/1.png", "b/1.png"), {}, "files"),
        (zipped("a/ada/1.png", "b/greek/ada/1.png"), {}, "archive"),
        (files("x"), {"identities": ["ada"]}, "sides"),
        (files("x"), {"identities": ["ada"], "sides": ["a", "b"]}, "sides"),
        (files("x"), {"sides": ["a"]}, "sides"),
        (zipped("a/ada/1.png"), {"sides": ["a"]}, "identities"),
    ],
)
def test_sides_that_cannot_be_told_are_refused_with_the_reason(upload, fields, where):
    with pytest.raises(InvalidParameter) as refusal:
        sides(upload, **fields)

    assert str(refusal.value).startswith(where)


def test_of_one_encoder_sides_are_refused_and_a_folder_a_is_one_as_any_other():
    with pytest.raises(InvalidParameter, match="sides"):
        labels(files("x"), identities=["ada"], sides=["a"])
    assert labels(files("a/1.png", "b/1.png")) == [("a", "a", None), ("b", "b", None)]


def test_samples_are_let_go_by_the_upload():
    upload = files("ada/1.png")

    samples, _ = read_labelled(upload, EvaluateFields(), LIMITS)

    assert (len(samples), upload.samples) == (1, {})


@pytest.mark.parametrize(
    ("upload", "fields", "where"),
    [
        (Upload(), {}, "files"),
        (files("1.png"), {}, "files"),
        (files(None), {}, "files"),
        (files("ada/1.png", "x/bob/1.png"), {}, "files"),
        (files("a/b/c/1.png", "x/y/z/1.png"), {}, "files"),
        (files("ada/1.png", "2.png"), {}, "files"),
        (zipped("ada/1.png", "x/bob/1.png"), {}, "archive"),
        (files("../1.png"), {}, "files"),
        (files("a\udc80/1.png", "b/1.png"), {}, "files"),
        (files("ada/1.png"), {"groups": ["f"]}, "groups"),
        (files("ada/1.png"), {"identities": ["ada", "bob"]}, "identities"),
        (files("a", "b"), {"identities": ["ada", "bob"], "groups": ["f"]}, "groups"),
        (files("a"), {"identities": ["\u202e"]}, "identities"),
        (files("a"), {"identities": ["ada"], "groups": [""]}, "groups"),
        (zipped(), {}, "archive"),
        (zipped("1.png"), {}, "archive"),
        (zipped("ada/1.png"), {"identities": ["ada"]}, "identities"),
        (Upload({"archive": [ReadyEmbedding(None)]}), {}, "archive"),
        (Upload({"archive": [Sample(b"")] * 2}), {}, "archive"),
        (Upload({"archive": [Sample(b"")], "files": [Sample(b"")]}), {}, "archive"),
    ],
)
def test_labels_that_cannot_be_told_are_refused_with_the_reason(upload, fields, where):
    with pytest.raises(InvalidParameter) as refusal:
        labels(upload, **fields)

    assert str(refusal.value).startswith(where)
