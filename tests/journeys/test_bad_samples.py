"""Sounds and words that cannot be used, each refused for its reason, cheaply, and alone."""

import io
import json
import struct

import numpy as np
import pytest
import soundfile

from tests.refusals import CANARY, assert_refused, cheap
from tests.sounds import RATE, encoded, voice

UNDECODABLE, OUT_OF_BOUNDS = "undecodable-input", "input-out-of-bounds"
DEGENERATE = "degenerate-input"
UNUSABLE = (UNDECODABLE, DEGENERATE)  # what is damaged may come to nothing instead
VOICE = voice(1)


def wav(frames=b"", *, channels=1, rate=RATE, bits=16, kind=1, claimed=None, before=b""):
    step = channels * bits // 8
    about = struct.pack("<HHIIHH", kind, channels, rate, rate * step % 2**32, step % 2**16, bits)
    body = b"WAVE" + chunk(b"fmt ", about) + before
    body += b"data" + struct.pack("<I", len(frames) if claimed is None else claimed) + frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content


def floats(*values):
    return encoded(np.array(values * 4000, np.float32), subtype="FLOAT")


def flac(seconds):
    """Silence but for its end, which takes next to no room."""
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", RATE, 1, format="FLAC") as file:
        for _ in range(seconds):
            file.write(np.zeros(RATE, np.float32))
        file.write(VOICE)
    return content.getvalue()


SOUNDS = {
    "A1 empty": (b"", UNUSABLE),
    "A2 no frames": (wav(), (DEGENERATE,)),
    "A3 claims 4 GB": (wav(b"\1\0" * 8000, claimed=2**32 - 1), (None,)),  # as recorders write it
    "A4 RF64": (encoded(VOICE, kind="RF64"), UNUSABLE),
    "A4 W64": (encoded(VOICE, kind="W64"), UNUSABLE),
    "A5 ten minutes of FLAC": (flac(600), (OUT_OF_BOUNDS,)),
    "A6 1,024 channels": (wav(bytes(2048 * 4), channels=1024), (OUT_OF_BOUNDS,)),
    "A6 65,535 channels": (wav(bytes(2**17), channels=65_535), (OUT_OF_BOUNDS, UNDECODABLE)),
    "A7 rate 0": (wav(bytes(2000), rate=0), (OUT_OF_BOUNDS, UNDECODABLE)),
    "A7 rate 1": (wav(bytes(2000), rate=1), (OUT_OF_BOUNDS,)),
    "A7 rate 2³²−1": (wav(bytes(2000), rate=2**32 - 1), (OUT_OF_BOUNDS, UNDECODABLE)),
    "A8 NaN": (floats(0.1, float("nan")), (DEGENERATE,)),
    "A8 Inf": (floats(0.1, float("inf")), (DEGENERATE,)),
    "A8 1e38": (floats(0.1, 1e38), (DEGENERATE,)),
    "A9 zeros": (wav(bytes(32_000)), (DEGENERATE,)),
    **{
        f"A10 {subtype}": (encoded(VOICE, 8000, subtype=subtype), (UNDECODABLE,))
        for subtype in ("IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32", "NMS_ADPCM_16")
    },
    **{
        f"A10 {subtype}": (encoded(VOICE, subtype=subtype), (UNDECODABLE,))
        for subtype in ("ULAW", "ALAW", "PCM_U8")
    },
    "A10 IMA ADPCM overflows": (
        wav(bytes(2000), kind=0x11, bits=4, before=chunk(b"fact", b"\xff" * 4)),
        (UNDECODABLE,),
    ),
    "A10 ALAW in AIFF": (encoded(VOICE, kind="AIFF", subtype="ALAW"), (UNDECODABLE,)),
    "A12 cut FLAC": (encoded(VOICE, kind="FLAC")[:4000], UNUSABLE),
    "A13 AU": (encoded(VOICE, kind="AU"), UNUSABLE),
    "A13 VOC": (encoded(VOICE, kind="VOC"), UNUSABLE),
    "A13 MAT": (encoded(VOICE, kind="MAT5"), UNUSABLE),
    "A13 raw": (encoded(VOICE, kind="RAW", subtype="PCM_16"), UNUSABLE),
    "A14 100,000 chunks": (
        wav((VOICE * 32_000).astype("<i2").tobytes(), before=chunk(b"junk", b"") * 100_000),
        (*UNUSABLE, None),
    ),
    "A15 10 hours": (
        wav(bytes(2**20), claimed=10 * 3600 * 32_000),
        (OUT_OF_BOUNDS, *UNUSABLE, None),
    ),
    "A16 one frame": (wav(b"\1\0"), (OUT_OF_BOUNDS, *UNUSABLE)),
    "A16 constant": (wav(b"\xff\x7f" * 8000), (*UNUSABLE, None)),
    "A16 clipped": (wav(b"\xff\x7f\x00\x80" * 8000), (*UNUSABLE, None)),
    "8 MB of Ogg pages": (b"OggS" + bytes(8 * 2**20 - 4), UNUSABLE),
    "8 MB of ID3": (
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(8 * 2**20 - 10),
        (*UNUSABLE, OUT_OF_BOUNDS),
    ),
}


@pytest.mark.parametrize("case", SOUNDS)
def test_a_sound_that_cannot_be_used_is_refused(all_kinds, to_all_kinds, case):
    """Where None is among the slugs, a finite embedding of what there is will do as well."""
    content, slugs = SOUNDS[case]
    file = ("files", (f"{CANARY}.wav", content, "audio/wav"))

    with cheap(all_kinds):
        answer = to_all_kinds.post("/embed", data={"comparator": "sounds"}, files=[file])

    if answer.status_code == 200 and None in slugs:
        assert np.isfinite(answer.json()["embeddings"]).all()
    else:
        slug = answer.json()["type"].partition("#")[2]
        assert slug in slugs
        assert_refused(answer, 422, slug, "expected")


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_a_sound_is_used_in_each_form_that_is_served(to_all_kinds, kind):
    """A11: MP3 and Ogg are decoded, in a process that may be lost."""
    file = ("files", ("a", encoded(VOICE, kind=kind), "audio/x"))

    answer = to_all_kinds.post("/embed", data={"comparator": "sounds"}, files=[file])

    assert answer.status_code == 200, answer.text


def text_as_json(text):
    return {"comparator": "words", "files": [{"text": text}]}


TEXTS = {
    "T1 empty": ("", 422, (DEGENERATE,)),
    "T1 white space": (" \t\n\u3000", 422, (DEGENERATE,)),
    "T2 10 MB": ("a" * 10 * 2**20, 413, ("too-large",)),
    "T3 1 MB": ("a" * 2**20, 422, (OUT_OF_BOUNDS,)),
    "T4 400,000 marks": ("a" + "\u0323\u0301" * 200_000, 422, (OUT_OF_BOUNDS,)),
    "T4 19,000 marks": ("a" + "\u0323\u0301" * 9_500, 422, (OUT_OF_BOUNDS, *UNUSABLE, None)),
    "T5 30,000 ligatures": ("\ufdfa" * 30_000, 422, (OUT_OF_BOUNDS,)),
    "T5 5,000 ligatures": ("\ufdfa" * 5_000, 422, (OUT_OF_BOUNDS, None)),
    "T7 controls": ("\x00\x01\x02", 422, (DEGENERATE,)),
    "T7 NUL in it": (f"a man\x00 plays {CANARY}", 200, (None,)),
    "T11 unseen": ("\u200b\u200d\ufeff", 422, (DEGENERATE,)),
    "T12 special tokens": ("[CLS] a man [SEP] <s> [PAD]", 200, (None,)),
    "T13 emoji": ("👩‍👩‍👧‍👦 plays the flute 𝄞", 200, (None,)),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_text_that_cannot_be_used_is_refused(all_kinds, to_all_kinds, case):
    text, status, slugs = TEXTS[case]

    with cheap(all_kinds):
        answer = to_all_kinds.post("/embed", json=text_as_json(text))

    if answer.status_code == 200 and None in slugs:
        assert np.isfinite(answer.json()["embeddings"]).all()
    else:
        slug = answer.json()["type"].partition("#")[2]
        assert slug in slugs, answer.text
        assert_refused(answer, status, slug, "expected")


def test_text_that_is_not_utf_8_is_refused(to_all_kinds):
    """T10: as a file it is a sample that does not decode."""
    file = ("files", ("a.txt", b"\xff\xfe" + CANARY.encode(), "text/plain"))

    answer = to_all_kinds.post("/embed", data={"comparator": "words"}, files=[file])

    assert_refused(answer, 422, UNDECODABLE, "UTF-8")


def test_10_000_texts_are_too_many(all_kinds, to_all_kinds):
    """T14."""
    body = json.dumps({"comparator": "words", "files": [{"text": "a man"}] * 10_000})

    with cheap(all_kinds):
        answer = to_all_kinds.post(
            "/embed", content=body, headers={"Content-Type": "application/json"}
        )

    assert_refused(answer, 413, "too-large", "256 files")
