"""Text → encoder input, the same at training and serving."""

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from models_store.manifest import BundleRefused, TextInput
from models_store.sample import SampleLimits, SampleOutOfBounds, Undecodable

Tokens = npt.NDArray[np.int64]


def open_tokenizer(content: bytes, spec: TextInput) -> Tokenizer:
    """Return the tokenizer of a `tokenizer.json` that cuts as the spec says.

    Raises BundleRefused.
    """
    try:
        tokenizer = Tokenizer.from_str(content.decode("utf-8"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(spec.max_tokens, stride=spec.overlap)
    except Exception as error:
        raise BundleRefused(f"{spec.tokenizer}: expected a file of `tokenizers`") from error
    return tokenizer


def prepare_text(content: bytes, tokenizer: Tokenizer, limits: SampleLimits) -> tuple[Tokens, ...]:
    """Return the encoder input of one text: the token ids of its windows, int64 (tokens,) each.

    Raises Undecodable or SampleOutOfBounds.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Undecodable("expected text in UTF-8") from error
    if len(text) > limits.characters:
        raise SampleOutOfBounds(
            f"expected at most {limits.characters} characters, got {len(text)}"
        )
    if not text.strip():
        raise Undecodable("expected text that is not blank")
    encoding = tokenizer.encode(text)
    return tuple(np.array(part.ids, np.int64) for part in (encoding, *encoding.overflowing))
