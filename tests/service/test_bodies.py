import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from models_store import ReadyEmbedding, Sample
from service.parameters import InvalidParameter
from service.requests.bodies import read_upload
from service.requests.strict_json import parse_json, read_sample
from service.requests.upload import MalformedBody, TooLarge, UnsupportedMedia, UploadLimits

LIMITS = UploadLimits(body=10_000, file=4_000, files=5, embeddings=7)
REFUSALS = (MalformedBody, TooLarge, UnsupportedMedia, InvalidParameter)

pytestmark = pytest.mark.anyio

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def read(body, content_type, chunk=64):
    """Read a body that comes in chunks, with no Content-Length."""
    chunks = [body[i : i + chunk] for i in range(0, len(body), chunk)] or [b""]

    async def receive():
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    headers = [(b"content-type", content_type.encode())]
    request = Request({"type": "http", "headers": headers}, receive)
    return await read_upload(request, LIMITS, ("files", "a"))


def multipart(*parts):
    lines = []
    for name, filename, content in parts:
        file = f'; filename="{filename}"' if filename else ""
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        lines.append(head.encode() + content + b"\r\n")
    return b"".join(lines) + b"--b--\r\n"


async def test_parts_keep_their_order_and_fields_their_text():
    body = multipart(
        ("files", "x", b"1"),
        ("k", None, b"3"),
        ("files", "../../etc/passwd", b"2"),
        ("a", "", b"t"),
    )

    upload = await read(body, "multipart/form-data; boundary=b")

    assert upload.samples["files"] == [Sample(b"1"), Sample(b"2")]
    assert upload.samples["a"] == [Sample(b"t", "text")]
    assert upload.fields == {"k": ["3"]}
    assert upload.textual


async def test_json_samples_come_in_three_kinds():
    document = {
        "files": [
            {"base64": base64.b64encode(b"1").decode(), "media_type": "image/png"},
            {"text": "t"},
            {"embedding": [1, 2.5]},
        ],
        "k": 3,
    }

    upload = await read(json.dumps(document).encode(), "application/json; charset=utf-8")

    picture, text, vector = upload.samples["files"]
    assert (picture, text) == (Sample(b"1"), Sample(b"t", "text"))
    assert isinstance(vector, ReadyEmbedding)
    assert vector.values.dtype == np.float32
    assert upload.fields == {"k": 3}


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
async def test_a_body_over_the_limit_is_refused_however_it_comes(chunk):
    with pytest.raises(TooLarge):
        await read(b"x" * 10_001, "application/json", chunk)


@pytest.mark.parametrize(
    "parts",
    [
        [("files", "x", b"y" * 4_001)],
        [("files", "x", b"y")] * 6,
        [(f"field-{i}", None, b"y") for i in range(40)],
    ],
    ids=["a long file", "many files", "many fields"],
)
async def test_a_multipart_body_over_a_limit_is_refused(parts):
    with pytest.raises(TooLarge):
        await read(multipart(*parts), "multipart/form-data; boundary=b")


@given(body=st.binary(max_size=300), cut=st.integers(0, 120), content_type=st.text(max_size=30))
async def test_no_bytes_lead_to_anything_but_an_upload_or_a_refusal(body, cut, content_type):
    whole = multipart(("files", "x", body), ("k", None, body))
    for content, kind in (
        (body, "multipart/form-data; boundary=b"),
        (whole[:cut], "multipart/form-data; boundary=b"),
        (whole[:cut] + body + whole[cut:], "multipart/form-data; boundary=b"),
        (body, "application/json"),
        (body, content_type.encode("ascii", "replace").decode()),
    ):
        try:
            await read(content, kind)
        except REFUSALS:
            continue


@given(json_values)
def test_no_json_value_leads_to_anything_but_a_sample_or_a_refusal(value):
    try:
        sample = read_sample(value, "files[0]")
    except InvalidParameter:
        return
    assert isinstance(sample, Sample | ReadyEmbedding)


@given(json_values)
def test_strict_json_is_what_any_other_parser_would_read(value):
    try:
        text = json.dumps(value, allow_nan=False).encode()
    except ValueError:
        with pytest.raises(MalformedBody):
            parse_json(json.dumps(value).encode())
    else:
        assert parse_json(text) == value
