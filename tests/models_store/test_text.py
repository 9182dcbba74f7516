import json
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from models_store.bundle import open_bundle
from models_store.manifest import BundleRefused, TextInput
from models_store.sample import Degenerate, Sample, SampleLimits, SampleOutOfBounds, Undecodable
from models_store.text import UNSEEN, longest_window, open_tokenizer, prepare_text
from tests.text_bundles import TEXTS, VOCABULARY, make_text_bundle, make_tokenizer

SPEC = TextInput(max_tokens=16, overlap=4)
OURS = make_tokenizer().to_str()
TOKENIZER = open_tokenizer(OURS.encode(), SPEC)


def prepare(text, spec=SPEC, tokenizer=TOKENIZER, **limits):
    content = text if isinstance(text, bytes) else text.encode()
    return prepare_text(content, tokenizer, spec, SampleLimits(**limits))


def changed(**parts):
    """Return our tokenizer.json with some parts replaced, as bytes."""
    return json.dumps(json.loads(OURS) | parts).encode()


def bracketed():
    """Return a tokenizer that knows two words and puts a token before and after each text."""
    tokenizer = Tokenizer(
        models.WordLevel({"<": 0, ">": 1, "?": 2, "yes": 3, "no": 4}, unk_token="?")  # noqa: S106
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("< $A >", None, [("<", 0), (">", 1)])
    return open_tokenizer(tokenizer.to_str().encode(), SPEC)


def test_a_short_text_is_one_window_of_its_tokens():
    (window,) = prepare("The man plays the flute.")

    assert window.dtype == np.int64
    assert TOKENIZER.decode(window.tolist()).strip() == "the man plays the flute."


@given(
    st.lists(st.sampled_from(["yes", "no"]), min_size=1, max_size=70),
    st.integers(5, 20),
    st.integers(0, 5),
)
def test_windows_leave_no_token_out_and_none_is_short(words, most, overlap):
    spec = TextInput(max_tokens=most, overlap=min(overlap, most // 2 - 2))
    tokens = [{"yes": 3, "no": 4}[word] for word in words]

    windows = prepare(" ".join(words), spec, bracketed())

    inner = [window[1:-1].tolist() for window in windows]
    assert all((window[0], window[-1]) == (0, 1) for window in windows)
    assert {len(part) for part in inner} == {min(len(tokens), most - 2)}
    starts = [*range(0, max(len(tokens) - most + 2, 0), most - 2 - spec.overlap)]
    starts.append(max(len(tokens) - most + 2, 0))
    covered = {start + i for start in starts for i in range(len(inner[0]))}
    assert covered == set(range(len(tokens)))
    assert inner == [tokens[start : start + most - 2] for start in starts]


def test_what_stands_at_the_end_of_a_long_text_counts():
    first, second = (prepare("yes " * 100 + end, SPEC, bracketed()) for end in ("yes", "no"))

    assert [a.tolist() == b.tolist() for a, b in zip(first, second, strict=True)] == [
        *[True] * (len(first) - 1),
        False,
    ]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xff\xfea\x00", id="utf-16"),
        pytest.param(b"caf\xe9", id="latin-1"),
        pytest.param(b"\xed\xa0\x80", id="a lone surrogate"),
        pytest.param(b"\xc0\xaf", id="an overlong slash"),
        pytest.param("é".encode()[:1], id="half a character"),
    ],
)
def test_bytes_that_are_not_utf8_are_refused(content):
    with pytest.raises(Undecodable, match="UTF-8"):
        prepare(content)


@pytest.mark.parametrize(
    "text", ["", " ", "\t\r\n", "\u3000\u2028", "\u200b\u200d\u2060", "\ufeff", "\0", "\x1b\x07"]
)
def test_text_that_nobody_sees_is_blank(text):
    with pytest.raises(Degenerate, match="blank"):
        prepare(text)


def test_the_mark_of_a_text_files_byte_order_is_no_part_of_the_text():
    (marked,), (plain,) = prepare("\ufeffThe dog"), prepare("The dog")

    assert marked.tolist() == plain.tolist()


def test_composed_and_combining_characters_are_one():
    composed, combining = (
        unicodedata.normalize(form, "Zoë naïvely flambéed it") for form in ("NFC", "NFD")
    )

    assert composed != combining
    assert prepare(composed)[0].tolist() == prepare(combining)[0].tolist()


@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        "a\u200bb",
        "e" + "\u0301" * 3000,
        "👩‍👩‍👧‍👦",
        "مرحبا",
        "漢字",
        "\u202eevil",
        "\U0010fffe!",
    ],
)
def test_strange_characters_become_tokens(text):
    windows = prepare(text)

    assert {token for window in windows for token in window} <= set(range(VOCABULARY))


@given(st.text(st.characters(), max_size=200))
def test_any_text_is_prepared_or_refused_with_a_reason(text):
    content = text.encode("utf-8", "surrogatepass")

    if any(unicodedata.category(character) == "Cs" for character in text):
        with pytest.raises(Undecodable, match="UTF-8"):
            prepare(content)
    elif all(unicodedata.category(character) in UNSEEN for character in text):
        with pytest.raises(Degenerate, match="expected text"):
            prepare(content)
    else:
        assert all(1 <= len(window) <= SPEC.max_tokens for window in prepare(content))


def test_a_text_may_be_as_long_as_the_limit_and_no_longer():
    assert prepare("é" * 20, characters=20)
    with pytest.raises(SampleOutOfBounds, match="at most 20 characters, got 21"):
        prepare("é" * 21, characters=20)
    with pytest.raises(SampleOutOfBounds, match="got 1000000"):
        prepare("a" * 1_000_000)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a", "a ", "e\u0301", "漢"])
def test_a_million_characters_are_cut_where_they_are_allowed(text):
    windows = prepare((text * 1_000_000)[:1_000_000], characters=1_000_000)

    assert sum(map(len, windows)) > 200_000


def test_a_text_of_which_no_word_is_known_is_refused_because_all_such_texts_are_one():
    with pytest.raises(Degenerate, match="script"):
        prepare("ja nein", SPEC, bracketed())
    (window,) = prepare("ja yes", SPEC, bracketed())
    assert window.tolist() == [0, 2, 3, 1]


def test_threads_may_share_a_tokenizer():
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(prepare, TEXTS))

    for (window,), text in zip(found, TEXTS, strict=True):
        assert window.tolist() == prepare(text)[0].tolist()


def template(*pieces, ids=1):
    """Return a post-processor that makes a text these pieces; X stands for `ids` tokens."""
    kinds = {"A": "Sequence", "X": "SpecialToken", "missing": "SpecialToken"}
    listed = [{kinds[piece]: {"id": piece, "type_id": 0}} for piece in pieces]
    special = {"id": "X", "ids": list(range(ids)), "tokens": ["x"] * ids}
    pair = [{"Sequence": {"id": side, "type_id": 0}} for side in "AB"]
    return {
        "type": "TemplateProcessing",
        "single": listed,
        "pair": pair,
        "special_tokens": {"X": special},
    }


MODEL = json.loads(OURS)["model"]


def searching(pattern):
    """Return a normalizer that removes what matches a regular expression."""
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": ""}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "expected a file of `tokenizers`", id="nothing"),
        pytest.param(b"\xff", "expected a file of `tokenizers`", id="no text"),
        pytest.param(b"[" * 100_000, "expected a file of `tokenizers`", id="deep"),
        pytest.param(b'{"model": 1}', "expected a file of `tokenizers`", id="other JSON"),
        pytest.param(changed(model=MODEL | {"dropout": 0.1}), "at random", id="dropout"),
        pytest.param(
            changed(post_processor=template("X")), "makes nothing of plain text", id="no text left"
        ),
        pytest.param(
            changed(post_processor=template("missing", "A")), "makes nothing", id="it panics"
        ),
        pytest.param(
            changed(normalizer=searching("([0-9a-z]+)+!")), "makes nothing", id="it gives up"
        ),
        pytest.param(
            changed(post_processor=template("X", "A", ids=12)), "no room for it", id="no room"
        ),
    ],
)
def test_a_hostile_tokenizer_is_refused_with_a_reason(content, reason):
    with pytest.raises(BundleRefused, match=reason):
        open_tokenizer(content, SPEC)


def test_a_text_on_which_the_tokenizer_gives_up_is_refused_and_the_next_is_not():
    tokenizer = open_tokenizer(changed(normalizer=searching("(a+)+$")), SPEC)

    with pytest.raises(Undecodable, match="tokenizer can cut"):
        prepare("a" * 40 + "b", SPEC, tokenizer)
    assert prepare("banana b", SPEC, tokenizer)


def test_padding_and_truncation_that_a_tokenizer_asks_for_are_not_done():
    padding = {"strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    cutting = {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}

    tokenizer = open_tokenizer(changed(padding=padding, truncation=cutting), SPEC)

    assert prepare(TEXTS[0], SPEC, tokenizer)[0].tolist() == prepare(TEXTS[0])[0].tolist()


def test_the_longest_window_has_all_positions_and_the_highest_token():
    window = longest_window(changed(post_processor=template("X", "A", ids=3)), SPEC)

    assert window.tolist() == [VOCABULARY - 1] * SPEC.max_tokens


def test_a_bundle_of_text_opens_and_embeds_long_texts_as_the_mean_of_their_windows(tmp_path):
    comparator = open_bundle(make_text_bundle(tmp_path))

    windows = comparator.prepare(Sample(" ".join(TEXTS[:9]).encode(), "text"))
    (whole,) = comparator.embed([windows])
    mean = np.mean([comparator.embed([(window,)])[0] for window in windows], axis=0)

    assert len(windows) > 3
    assert whole == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_a_bundle_whose_encoder_lacks_tokens_of_its_tokenizer_is_refused(tmp_path):
    model = MODEL | {"vocab": MODEL["vocab"] | {"unheard": VOCABULARY}}
    folder = make_text_bundle(tmp_path, tokenizer=changed(model=model).decode())

    with pytest.raises(BundleRefused, match=rf"token {VOCABULARY}, which tokenizer\.json"):
        open_bundle(folder)


def test_a_bundle_whose_tokenizer_is_none_is_refused(tmp_path):
    folder = make_text_bundle(tmp_path, tokenizer="{}")

    with pytest.raises(BundleRefused, match=r"tokenizer\.json: expected a file of `tokenizers`"):
        open_bundle(folder)
