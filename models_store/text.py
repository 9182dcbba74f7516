"""Text → encoder input, the same at training and serving."""

import string
import unicodedata
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from models_store.manifest import BundleRefused, TextInput
from models_store.sample import Degenerate, SampleLimits, SampleOutOfBounds, Undecodable, Unusable

UNSEEN = ("Zs", "Zl", "Zp", "Cc", "Cf")
"""Categories of characters that nobody sees: spaces, controls, zero-width ones."""

Tokens = npt.NDArray[np.int64]


def open_tokenizer(content: bytes, spec: TextInput) -> Tokenizer:
    """Return the tokenizer of a `tokenizer.json`, which neither cuts nor pads.

    Raises BundleRefused if it is none, cuts at random, makes nothing of plain text or leaves a
    window no room.
    """
    try:
        tokenizer = Tokenizer.from_str(content.decode("utf-8"))
    except Exception as error:
        raise BundleRefused(f"{spec.tokenizer}: expected a file of `tokenizers`") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if getattr(tokenizer.model, "dropout", None):
        raise BundleRefused(f"{spec.tokenizer} cuts at random: expected a dropout of 0")
    try:
        head, _, tail = _parts(_encode(string.printable, tokenizer))
    except Unusable as error:
        raise BundleRefused(f"{spec.tokenizer} makes nothing of plain text") from error
    if len(head) + len(tail) + spec.overlap >= spec.max_tokens:
        raise BundleRefused(
            f"{spec.tokenizer} adds {len(head) + len(tail)} tokens to each text: "
            f"a window of {spec.max_tokens} with an overlap of {spec.overlap} has no room for it"
        )
    return tokenizer


def longest_window(content: bytes, spec: TextInput) -> Tokens:
    """Return a window as long as they come, full of the token with the highest id: (tokens,).

    An encoder that embeds it knows all tokens and all positions that texts will have.
    """
    tokenizer = open_tokenizer(content, spec)
    added = _encode(string.printable, tokenizer).ids
    return np.full(spec.max_tokens, max(*tokenizer.get_vocab().values(), *added), np.int64)


def prepare_text(
    content: bytes, tokenizer: Tokenizer, spec: TextInput, limits: SampleLimits
) -> tuple[Tokens, ...]:
    """Return the encoder input of one text: the token ids of its windows, int64 (tokens,) each.

    A mark of the byte order is no part of a text. Raises Unusable.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Undecodable("expected text in UTF-8") from error
    if len(text) > limits.characters:
        raise SampleOutOfBounds(
            f"expected at most {limits.characters} characters, got {len(text)}"
        )
    if all(unicodedata.category(character) in UNSEEN for character in text):
        raise Degenerate("expected text that is not blank")
    head, body, tail = _parts(_encode(text, tokenizer))
    if set(body) <= {_unknown(tokenizer)}:
        raise Degenerate("expected text in a script that the comparator knows")
    room = spec.max_tokens - len(head) - len(tail)
    starts = [*range(0, len(body) - room, room - spec.overlap), max(len(body) - room, 0)]
    return tuple(np.concatenate([head, body[start : start + room], tail]) for start in starts)


def _encode(text: str, tokenizer: Tokenizer) -> Encoding:
    try:
        return tokenizer.encode(text)
    except BaseException as error:
        # A panic of the library, such as a regular expression that gave up, is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise Undecodable("expected text that the comparator's tokenizer can cut") from error


def _parts(encoding: Encoding) -> tuple[Tokens, Tokens, Tokens]:
    """Return the tokens before a text, its own, and those after it; raise Degenerate if none."""
    ids = np.array(encoding.ids, np.int64)
    own = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)
    if not len(own):
        raise Degenerate("expected text of which the comparator's tokenizer leaves something")
    return ids[: own[0]], ids[own[0] : own[-1] + 1], ids[own[-1] + 1 :]


def _unknown(tokenizer: Tokenizer) -> int | None:
    """Return the token that stands for whatever the vocabulary lacks, if there is one."""
    model: Any = tokenizer.model
    name = getattr(model, "unk_token", None)
    return tokenizer.token_to_id(name) if name else None
