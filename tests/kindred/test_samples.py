"""What may be given as a sample."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindred import Text
from kindred.samples import document_of, documents_of


def test_a_file_is_a_file_whichever_way_it_is_given(tmp_path):
    path = tmp_path / "1.png"
    path.write_bytes(b"ink")
    encoded = {"base64": base64.b64encode(b"ink").decode()}

    for given_ in (path, str(path), b"ink", bytearray(b"ink"), memoryview(b"ink"), encoded):
        assert document_of(given_) == encoded
    assert document_of(io.BytesIO(b"ink")) == encoded
    with path.open("rb") as file:
        assert document_of(file) == encoded


def test_words_are_text_only_where_they_are_said_to_be():
    assert document_of(Text("a letter")) == {"text": "a letter"}
    with pytest.raises(FileNotFoundError):
        document_of("a letter")


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_an_embedding_is_sent_to_the_last_bit(numbers):
    array = np.array(numbers, np.float32)

    assert document_of(array) == document_of(numbers) == {"embedding": numbers}
    assert np.array(document_of(array)["embedding"], np.float32).tobytes() == array.tobytes()


def test_one_sample_may_be_given_for_many():
    one, row = np.zeros(3), [0.5, 0.25]

    assert documents_of(b"x") == documents_of([b"x"]) == documents_of(iter([b"x"]))
    assert documents_of(one) == [{"embedding": [0, 0, 0]}]
    assert documents_of(np.zeros((2, 3))) == 2 * documents_of(one)
    assert documents_of(row) == documents_of([row]) == [{"embedding": row}]
    assert documents_of(Text("x")) == [{"text": "x"}]
    assert documents_of([]) == []


@pytest.mark.parametrize("nonsense", [np.zeros((2, 2)), ["a", "b"], {1, "x"}, 3.5, None])
def test_what_is_no_sample_is_refused_here(nonsense):
    with pytest.raises(TypeError):
        document_of(nonsense)


@pytest.mark.parametrize("nonsense", [None, 3.5])
def test_what_is_no_sample_is_told_with_what_was_expected(nonsense):
    for refuse in (document_of, documents_of):
        with pytest.raises(TypeError, match=r"expected a path, bytes.* got (NoneType|float)"):
            refuse(nonsense)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.bool_])
def test_pixels_are_not_taken_for_embeddings(kind):
    with pytest.raises(TypeError, match="whole numbers"):
        documents_of(np.zeros((28, 28), kind))

    assert len(documents_of(np.zeros((28, 28), np.float16))) == 28


def test_a_file_that_is_not_there_is_told_by_its_name():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        documents_of([Path("nowhere.png")])
