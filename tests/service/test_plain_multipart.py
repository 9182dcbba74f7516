import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from models_store import Sample
from service.parameters import InvalidParameter
from service.requests.bodies import read_upload
from service.requests.plain_multipart import plain_parts
from service.requests.upload import MalformedBody, TooLarge, UnsupportedMedia, UploadLimits

LIMITS = UploadLimits(body=10_000, file=40, files=3, embeddings=1)
REFUSALS = (MalformedBody, TooLarge, UnsupportedMedia, InvalidParameter)
TYPE = b"multipart/form-data; boundary=b"

pytestmark = pytest.mark.anyio

contents = st.lists(
    st.sampled_from(
        [b"--b", b"b", b"\r\n", b"\r", b"\n", b"--", b"\r\n--b", b" ", b"\xff", b"x" * 20]
    ),
    max_size=3,
).map(b"".join)
USUAL = (
    b'Content-Disposition: form-data; name="k"',
    b'Content-Disposition: form-data; name="files"; filename="x.png"\r\nContent-Type: image/png',
)
unusual = st.tuples(
    st.sampled_from([b"Content-Disposition: form-data; ", b"content-disposition: form-data; "]),
    st.sampled_from([b'name="files"', b'name="k"', b'name="a b"', b'Name="k"', b'name="k*"']),
    st.sampled_from([b"", b'; filename="x y.png"', b'; filename=""', b'; filename="C:\\\\x"']),
    st.sampled_from(
        [
            b"",
            b"\r\nContent-Type: text/plain; charset=utf-8",
            b"\r\nContent-Type:  Multipart/mixed",
            b"\r\nContent-Transfer-Encoding: base64",
        ]
    ),
).map(b"".join)
heads = st.one_of(*map(st.just, USUAL * 3), unusual)
parts = st.tuples(heads, st.just(b"\r\n\r\n"), contents).map(b"".join)
bodies = st.tuples(
    st.sampled_from([b"--b\r\n", b"--b\r\n", b"--b\r\n", b"\r\n--b\r\n", b"--c\r\n", b""]),
    st.lists(parts, min_size=1, max_size=4).map(b"\r\n--b\r\n".join),
    st.sampled_from([b"\r\n--b--\r\n", b"\r\n--b--", b"\r\n--b--\r\nmore", b"--b--", b""]),
).map(b"".join)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def read(body: bytes, *, announced: bool) -> object:
    """Return what is read of a body: only where its length is announced it may be read at once."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", TYPE)]
    if announced:
        headers.append((b"content-length", str(len(body)).encode()))
    try:
        return await read_upload(
            Request({"type": "http", "headers": headers}, receive), LIMITS, ("files",)
        )
    except REFUSALS as error:
        return type(error), str(error)


@given(bodies)
async def test_a_short_body_is_read_as_the_parser_reads_it(body: bytes) -> None:
    assert await read(body, announced=True) == await read(body, announced=False)


async def test_the_bodies_of_usual_clients_take_no_parser() -> None:
    httpx = (
        b'--b\r\nContent-Disposition: form-data; name="k"\r\n\r\n3\r\n'
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="1.png"\r\n'
        b"Content-Type: image/png\r\n\r\n\r\n--\x00\r\n\r\n--b--\r\n"
    )

    found = plain_parts(httpx, b"b")

    assert found is not None
    assert [(one.name, one.filename, one.content) for one in found] == [
        ("k", None, b"3"),
        ("files", "1.png", b"\r\n--\x00\r\n"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="k"\r\n\r\n3',
        b'--b\r\nContent-Disposition: form-data; name="k"\r\n\r\n3\r\n--bc--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="k"\r\nX: y\r\n\r\n3\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="\xc3\xa4"\r\n\r\n3\r\n--b--\r\n',
    ],
)
def test_any_other_body_is_left_to_the_parser(body: bytes) -> None:
    assert plain_parts(body, b"b") is None


async def test_limits_hold_for_a_body_that_is_read_at_once() -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\n'
    long = head + b"x" * 41 + b"\r\n--b--\r\n"
    fits = head + b"x" * 40 + b"\r\n--b--\r\n"

    upload = await read(fits, announced=True)
    refused = await read(long, announced=True)

    assert upload.samples == {"files": [Sample(b"x" * 40)]}  # type: ignore[attr-defined]
    assert refused == (TooLarge, "expected files of at most 40 bytes")
