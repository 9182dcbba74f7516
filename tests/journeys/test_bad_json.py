"""JSON that is not strict, or not what was asked for, each refused for its reason, and cheaply."""

import base64
import gzip
import json

import pytest

from tests.drawings import as_json, draw, part
from tests.refusals import CANARY, assert_refused, cheap

MALFORMED, INVALID, TOO_LARGE = "malformed-body", "invalid-parameter", "too-large"
UNSUPPORTED = "unsupported-media"
JSON = "application/json"


def sent(document):
    return json.dumps(document).encode()


def embedding(numbers):
    return f'{{"files": [{{"embedding": [{numbers}]}}]}}'.encode()


BODIES = {
    "J1 empty": (b"", 400, MALFORMED, ""),
    "J1 open": (b"{", 400, MALFORMED, ""),
    "J1 trailing comma": (b'{"files": [],}', 400, MALFORMED, ""),
    "J2 NaN": (b'{"threshold": NaN}', 400, MALFORMED, ""),
    "J2 Infinity": (b'{"threshold": Infinity}', 400, MALFORMED, ""),
    "J2 -Infinity": (embedding("-Infinity"), 400, MALFORMED, ""),
    "J3 1e999": (embedding("1e999"), 422, INVALID, "files[0].embedding"),
    "J3 1e39": (embedding("1e39"), 422, INVALID, "files[0].embedding"),
    "J3 1e999 as a field": (b'{"threshold": 1e999}', 422, INVALID, "threshold"),
    "J4 500 digits": (embedding("9" * 500), 422, INVALID, "files[0].embedding"),
    "J4 500 digits as a field": (b'{"k": ' + b"9" * 500 + b"}", 422, INVALID, "k"),
    "J4 4,000 digits": (embedding("9" * 4000), 422, INVALID, "number"),
    "J4 4,000 digits as a field": (b'{"k": ' + b"9" * 4000 + b"}", 422, INVALID, "number"),
    "J4 5,000 digits": (embedding("9" * 5000), 422, INVALID, "number"),
    "J4 4,300 digits 7,600 times": (
        embedding(",".join(["9" * 4300] * 7600)),
        422,
        INVALID,
        "number",
    ),
    "J5 100,000 deep": (b"[" * 100_000, 400, MALFORMED, ""),
    "J5 100,000 objects deep": (b'{"a":' * 100_000, 400, MALFORMED, ""),
    "J6 900 deep": (b'{"threshold": ' + b"[" * 900 + b"]" * 900 + b"}", 422, INVALID, "threshold"),
    "J7 300,000 wrong items": (
        sent({"identities": [1.5] * 300_000, "files": [as_json(draw(1))]}),
        422,
        INVALID,
        "identities",
    ),
    "J7 300,000 wrong sides": (
        sent({"sides": ["c"] * 300_000, "files": [as_json(draw(1))]}),
        422,
        INVALID,
        "sides",
    ),
    "J7 300,000 wrong numbers": (
        embedding(",".join(["null"] * 300_000)),
        422,
        INVALID,
        "files[0]",
    ),
    "J8 3,000,000 floats": (embedding(",".join(["0.25"] * 3_000_000)), 413, TOO_LARGE, ""),
    "J9 twice": (b'{"k": 1, "k": 2}', 400, MALFORMED, "duplicate"),
    "J10 UTF-16": ("{}".encode("utf-16"), 400, MALFORMED, "UTF-8"),
    "J10 BOM": (b"\xef\xbb\xbf{}", 400, MALFORMED, ""),
    "J11 invalid UTF-8": (b'{"k": "\xff"}', 400, MALFORMED, "UTF-8"),
    "J12 surrogate in a value": (b'{"gallery": "\\ud800"}', 422, INVALID, "gallery"),
    "J12 surrogate in a text": (
        b'{"files": [{"text": "\\ud800"}]}',
        422,
        INVALID,
        "files[0].text",
    ),
    "J12 surrogate in a key": (b'{"\\ud800": 1}', 422, INVALID, ""),
    "J13 unknown member": (sent({CANARY: 1}), 422, INVALID, "an unknown field"),
    "J13 100,000 unknown members": (
        sent(dict.fromkeys(map(str, range(100_000)), 1)),
        422,
        INVALID,
        "an unknown field",
    ),
    "J13 500,000 unknown members": (
        sent(dict.fromkeys(map(str, range(500_000)), 1)),
        413,
        TOO_LARGE,
        "members",
    ),
    "J13 500,000 members of unusual spelling": (
        b"{" + b",".join(b'"%d" :1' % i for i in range(500_000)) + b"}",
        413,
        TOO_LARGE,
        "members",
    ),
    "J13 unknown in a sample": (
        sent({"files": [as_json(draw(1)) | {CANARY: 1}]}),
        422,
        INVALID,
        "files[0]",
    ),
    "J14 string for number": (sent({"threshold": CANARY}), 422, INVALID, "threshold"),
    "J14 text of a number": (sent({"threshold": "0.5"}), 422, INVALID, "threshold"),
    "J14 true for 1": (sent({"k": True}), 422, INVALID, "k"),
    "J14 1.0 for 1": (sent({"k": 1.5}), 422, INVALID, "k"),
    "J15 null": (b"null", 422, INVALID, "body"),
    "J15 list": (b"[]", 422, INVALID, "body"),
    "J15 string": (b'"' + CANARY.encode() + b'"', 422, INVALID, "body"),
    "J15 number": (b"1", 422, INVALID, "body"),
    "J16 padding": (sent({"files": [{"base64": "abc"}]}), 422, INVALID, "files[0].base64"),
    "J16 white space": (sent({"files": [{"base64": "ab cd"}]}), 422, INVALID, "files[0].base64"),
    "J16 URL alphabet": (sent({"files": [{"base64": "a-_d"}]}), 422, INVALID, "files[0].base64"),
    "J16 not ASCII": (sent({"files": [{"base64": "é" * 4}]}), 422, INVALID, "files[0].base64"),
    "J16 too long": (
        sent({"files": [{"base64": base64.b64encode(bytes(8 * 2**20 + 1)).decode()}]}),
        413,
        TOO_LARGE,
        "",
    ),
    "8,000,000 empty lists": (b'{"x": [' + b"[]," * 8_000_000 + b"[]]}", 413, TOO_LARGE, ""),
}


@pytest.mark.parametrize("case", BODIES)
def test_json_that_cannot_be_used_is_refused(all_kinds, to_all_kinds, case):
    body, status, slug, word = BODIES[case]
    path = "/evaluate" if word in ("identities", "sides") else "/identify"

    with cheap(all_kinds):
        answer = to_all_kinds.post(path, content=body, headers={"Content-Type": JSON})

    assert_refused(answer, status, slug, word)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "x"])
@pytest.mark.parametrize("body", [gzip.compress(b"{}"), b"{}"], ids=["real", "said"])
def test_a_compressed_body_is_415(all_kinds, to_all_kinds, encoding, body):
    headers = {"Content-Type": JSON, "Content-Encoding": encoding}

    with cheap(all_kinds):
        answers = [
            to_all_kinds.post(path, content=body, headers=headers)
            for path in ("/identify", "/galleries", "/enroll/bulk")
        ]

    for answer in answers:
        assert_refused(answer, 415, UNSUPPORTED, "Content-Encoding")


@pytest.mark.parametrize(
    "kind", [None, "", "text/html", "application/jsonx", "application/json; charset=utf-7", "*/*"]
)
@pytest.mark.parametrize("path", ["/identify", "/galleries"])
def test_a_body_of_another_kind_is_415(to_all_kinds, kind, path):
    headers = {} if kind is None else {"Content-Type": kind}

    answer = to_all_kinds.post(path, content=b"{}", headers=headers)

    assert_refused(answer, 415, UNSUPPORTED, "application/json")


@pytest.mark.parametrize("kind", [JSON, "Application/JSON", "application/json; charset=UTF-8"])
def test_json_may_say_that_it_is_utf_8(to_all_kinds, kind):
    body = json.dumps({"files": [as_json(draw(1))]}).encode()

    assert to_all_kinds.post("/embed", content=body, headers={"Content-Type": kind}).is_success


def test_a_list_may_be_long_where_it_is_of_use(to_all_kinds):
    files = [{"embedding": [1.0] + [0.0] * 31}] * 4096

    answer = to_all_kinds.post("/embed", json={"files": files})

    assert len(answer.json()["embeddings"]) == 4096
    assert to_all_kinds.post("/embed", files=[part(draw(1))]).is_success


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_surrogate_in_metadata_is_refused(client, gallery, method):
    client.post("/enroll", data={"identity": "ada", "gallery": gallery}, files=[part(draw(1))])
    path = {"POST": "/enroll", "PATCH": f"/galleries/{gallery}/identities/ada"}[method]
    body = b'{"metadata": {"a": "\\ud800"}'
    if method == "POST":
        body += f', "identity": "b", "gallery": "{gallery}"'.encode()
        body += b', "files": [' + sent(as_json(draw(1))) + b"]"

    answer = client.request(method, path, content=body + b"}", headers={"content-type": JSON})

    assert_refused(answer, 422, INVALID, "metadata")


@pytest.mark.parametrize("kind", [JSON, "text/html", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("path", ["/enroll/bulk", "/galleries/other/import"])
def test_lines_of_another_kind_are_415(to_all_kinds, kind, path):
    """M22."""
    answer = to_all_kinds.post(path, content=b"{}\n", headers={"Content-Type": kind})

    assert_refused(answer, 415, UNSUPPORTED, "application/x-ndjson")


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "application/x-ndjson",
        "application/x-ndjson; charset=utf-8",
        "application/ndjson",
        "application/jsonl",
        "application/octet-stream",
    ],
)
def test_lines_may_say_that_they_are_lines_or_nothing(to_all_kinds, kind):
    headers = {} if kind is None else {"Content-Type": kind}

    bulk = to_all_kinds.post("/enroll/bulk", content=b"{}\n", headers=headers)
    imported = to_all_kinds.post("/galleries/other/import", content=b"{}\n", headers=headers)

    assert bulk.status_code == 200
    assert_refused(imported, 400, MALFORMED, "line 1")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("content-type", (JSON, "text/html")),
        ("content-encoding", ("identity", "gzip")),
        ("idempotency-key", ("a", "b")),
    ],
)
@pytest.mark.parametrize("path", ["/embed", "/enroll", "/enroll/bulk"])
def test_a_header_that_comes_twice_is_refused_and_named(to_all_kinds, path, name, values):
    headers = [(name, value) for value in values]

    answer = to_all_kinds.post(path, content=b"{}", headers=headers)

    assert_refused(answer, 422, INVALID, name)


@pytest.mark.parametrize(
    "line",
    [
        {"gallery": dict.fromkeys(map(str, range(100_000)), 1)},
        {"identity": dict.fromkeys(map(str, range(100_000)), 1)},
        {"identity": {"samples": [1] * 300_000}},
        {"gallery": dict.fromkeys(map(str, range(500_000)), 1)},
    ],
    ids=["gallery", "identity", "samples", "more"],
)
def test_a_line_of_many_mistakes_is_refused_cheaply(all_kinds, to_all_kinds, line):
    with cheap(all_kinds):
        imported = to_all_kinds.post("/galleries/other/import", content=sent(line))
        bulk = to_all_kinds.post("/enroll/bulk", content=sent(line))

    assert imported.status_code in (400, 413)
    assert json.loads(bulk.text)["outcome"] == "failed"
    assert len(imported.content) < 1000 > len(bulk.content)
