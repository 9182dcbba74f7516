"""What is wrong with a request is answered with a problem that says what was expected."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.drawings import as_json, draw, part

GOOD = draw(1, 1)
BOUNDARY = "multipart/form-data; boundary=xyz"


def assert_problem(answer, status, slug):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"].endswith(f"/docs/problems.md#{slug}")
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == f"urn:request:{answer.headers['x-request-id']}"
    assert len(answer.content) < 8192
    assert ("retry-after" in answer.headers) == (status == 503)
    return problem["detail"]


def big_png(width, height):
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "slug"),
    [
        (b"", "undecodable-input"),
        (b"hello", "undecodable-input"),
        (GOOD[:50], "undecodable-input"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "undecodable-input"),
        (big_png(9000, 9000), "input-out-of-bounds"),
        (big_png(1, 3000), "input-out-of-bounds"),
    ],
    ids=["empty", "text", "cut", "postscript", "81 megapixels", "a line"],
)
@pytest.mark.parametrize("route", ["/embed", "/identify", "/enroll", "/cluster"])
def test_a_picture_that_cannot_be_used_is_422(client, gallery, route, content, slug):
    data = {"/enroll": {"identity": "Ada", "gallery": gallery}, "/identify": {"gallery": gallery}}

    answer = client.post(route, data=data.get(route, {}), files=[part(content)])

    assert_problem(answer, 422, slug)


def test_verify_says_which_kind_of_sample_it_could_not_use(client):
    answer = client.post("/verify", files=[part(GOOD, "a"), part(b"x", "b")])

    assert "PNG" in assert_problem(answer, 422, "undecodable-input")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"target_fpir": "nan"}, "target_fpir"),
        ({"target_fpir": "0"}, "target_fpir"),
        ({"target_fpir": "1.5"}, "target_fpir"),
        ({"threshold": "inf"}, "threshold"),
        ({"threshold": "-0.1"}, "threshold"),
        ({"threshold": "0.5", "target_fpir": "0.1"}, "threshold"),
        ({"k": "0"}, "k"),
        ({"k": "many"}, "k"),
        ({"top": "101"}, "top"),
        ({"rule": "median"}, "rule"),
        ({"gallery": "no/such"}, "gallery"),
        ({"surprise": "1"}, "an unknown field; expected only gallery, target_fpir"),
    ],
)
def test_a_parameter_outside_its_rule_is_422_and_named(client, fields, name):
    answer = client.post("/identify", data=fields, files=[part(GOOD)])

    assert name in assert_problem(answer, 422, "invalid-parameter")


@pytest.mark.parametrize(
    "identity",
    [
        "",
        " Ada",
        "a/b",
        "a:b",
        "{x}",
        "a*",
        "..",
        "x" * 129,
        "new\nline",
        "a\u202eb",
        "zero\u200bw",
    ],
)
def test_an_identity_that_cannot_be_told_apart_or_addressed_is_422(client, gallery, identity):
    answer = client.post(
        "/enroll", json={"identity": identity, "gallery": gallery, "files": [as_json(GOOD)]}
    )

    assert "identity" in assert_problem(answer, 422, "invalid-parameter")


def test_two_spellings_of_a_name_are_one_identity(client, gallery):
    for name, take in (("Zoe\u0308", 1), ("Zo\u00eb", 2)):
        client.post(
            "/enroll",
            json={"identity": name, "gallery": gallery, "files": [as_json(draw(1, take))]},
        ).raise_for_status()

    items = client.get(f"/galleries/{gallery}/identities").json()["items"]

    assert [(i["identity"], len(i["samples"])) for i in items] == [("Zo\u00eb", 2)]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "..", "x" * 129])
def test_a_gallery_name_outside_its_rule_is_422(client, name):
    assert_problem(client.post("/galleries", json={"name": name}), 422, "invalid-parameter")


def test_what_is_not_there_is_404(client, gallery):
    sample = {"files": [as_json(GOOD)]}

    for answer in (
        client.get("/nothing"),
        client.get("/galleries/nobody"),
        client.delete("/galleries/nobody"),
        client.get(f"/galleries/{gallery}/identities/nobody"),
        client.delete(f"/galleries/{gallery}/identities/nobody"),
        client.delete(f"/galleries/{gallery}/identities/nobody/samples/1"),
        client.get("/comparators/nobody"),
        client.post("/identify", json={"gallery": "nobody", **sample}),
        client.post("/enroll", json={"gallery": "nobody", "identity": "Ada", **sample}),
        client.post("/enroll/bulk?gallery=nobody", content=b""),
        client.post("/embed", json={"comparator": "nobody", **sample}),
        client.post("/galleries", json={"name": "x", "comparator": "nobody@7"}),
        client.post("/cluster", json={"gallery": "nobody"}),
    ):
        assert_problem(answer, 404, "not-found")


def test_a_method_that_a_path_has_not_is_405(client):
    answer = client.put("/enroll")

    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"
    assert client.put("/galleries/default").headers["allow"] == "DELETE, GET, PATCH"


def test_a_gallery_that_exists_is_409(client, gallery):
    assert_problem(client.post("/galleries", json={"name": gallery}), 409, "already-exists")


@pytest.mark.parametrize(
    ("embedding", "slug"),
    [
        ([1.0], "invalid-parameter"),
        ([0.0] * 32, "degenerate-input"),
        ([0.5] * 32, "degenerate-input"),
        (["x"] * 32, "invalid-parameter"),
        ([True] * 32, "invalid-parameter"),
        ([1e39] * 32, "invalid-parameter"),
        ([10**400] * 32, "invalid-parameter"),
    ],
    ids=["dimension", "zero", "norm", "words", "booleans", "too big", "far too big"],
)
def test_an_embedding_that_search_cannot_compare_is_422(client, gallery, embedding, slug):
    files = [{"embedding": embedding}]

    for answer in (
        client.post("/identify", json={"gallery": gallery, "files": files}),
        client.post("/enroll", json={"gallery": gallery, "identity": "Ada", "files": files}),
    ):
        assert_problem(answer, 422, slug)


def test_text_is_refused_by_a_comparator_of_images(client):
    answer = client.post("/embed", json={"files": [{"text": "hello"}]})

    assert_problem(answer, 422, "model-mismatch")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"k": NaN, "files": []}',
        b'{"k": Infinity}',
        b'{"files": [], "files": []}',
        b"\xff\xfe{}",
        "{}".encode("utf-16"),
        b"[" * 100_000,
    ],
    ids=["empty", "open", "nan", "infinity", "twice", "latin", "utf-16", "deep"],
)
def test_json_that_is_not_strict_is_400(client, body):
    answer = client.post("/identify", content=body, headers={"Content-Type": "application/json"})

    assert_problem(answer, 400, "malformed-body")


@pytest.mark.parametrize(
    "document",
    [[], "x", 1, {"files": "x"}, {"files": [{}]}, {"files": [{"url": "http://x"}]}],
)
def test_json_of_another_shape_is_422(client, document):
    assert_problem(client.post("/identify", json=document), 422, "invalid-parameter")


def test_base64_that_is_not_is_422_and_names_the_sample(client):
    answer = client.post("/embed", json={"files": [as_json(GOOD), {"base64": "%%%"}]})

    assert "files[1].base64" in assert_problem(answer, 422, "invalid-parameter")


def test_a_lone_surrogate_is_422(client):
    body = b'{"files": [{"text": "\\ud800"}]}'

    answer = client.post("/embed", content=body, headers={"Content-Type": "application/json"})

    assert_problem(answer, 422, "invalid-parameter")


@pytest.mark.parametrize(
    ("content_type", "status", "slug"),
    [
        ("text/csv", 415, "unsupported-media"),
        ("application/x-www-form-urlencoded", 415, "unsupported-media"),
        ("multipart/form-data", 400, "malformed-body"),
        (f"multipart/form-data; boundary={'x' * 300}", 400, "malformed-body"),
    ],
)
def test_a_body_of_another_kind_is_refused(client, content_type, status, slug):
    answer = client.post("/embed", content=b"x", headers={"Content-Type": content_type})

    assert_problem(answer, status, slug)


@pytest.mark.parametrize(
    "body",
    [
        b"--xyz\r\n",
        b'--xyz\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nabc',
        b"--xyz\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--xyz--\r\n",
        b"--abc\r\n\r\n--abc--\r\n",
    ],
    ids=["nothing", "cut short", "no name", "another boundary"],
)
def test_multipart_that_breaks_its_grammar_is_400(client, body):
    answer = client.post("/embed", content=body, headers={"Content-Type": BOUNDARY})

    assert_problem(answer, 400, "malformed-body")


def test_a_compressed_body_is_415(client):
    answer = client.post(
        "/embed",
        content=b"x",
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )

    assert_problem(answer, 415, "unsupported-media")


def test_a_field_twice_is_400(client):
    answer = client.post("/embed", data={"comparator": ["tiny", "wide"]}, files=[part(GOOD)])

    assert_problem(answer, 400, "malformed-body")


def test_no_sample_at_all_is_422(client, gallery):
    assert_problem(client.post("/embed", json={}), 422, "invalid-parameter")
    assert_problem(client.post("/embed", json={"files": []}), 422, "invalid-parameter")
    assert_problem(
        client.post("/enroll", json={"identity": "Ada", "gallery": gallery}),
        422,
        "invalid-parameter",
    )


def test_metadata_must_be_a_json_object_of_bounded_size(client, gallery):
    def enroll(metadata):
        data = {"identity": "Ada", "gallery": gallery, "metadata": metadata}
        return client.post("/enroll", data=data, files=[part(GOOD)])

    assert_problem(enroll("{"), 400, "malformed-body")
    assert_problem(enroll("[1]"), 422, "invalid-parameter")
    assert_problem(enroll(json.dumps({"x": "y" * 5000})), 413, "too-large")


@pytest.mark.parametrize(
    ("metadata", "rule"),
    [
        (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "at most 32 lists and objects"),
        (b'{"a": ' + b"[" * 32 + b"]" * 32 + b"}", "at most 32 lists and objects"),
        (b'{"a": {"b": [1e999]}}', "finite numbers"),
        (b'{"a": -1e999}', "finite numbers"),
    ],
    ids=["deep", "too deep by one", "endless", "negative"],
)
def test_metadata_that_could_not_be_read_again_is_refused_however_it_comes(
    client, gallery, metadata, rule
):
    client.post("/enroll", data={"identity": "x", "gallery": gallery}, files=[part(GOOD)])
    files, vector = json.dumps([as_json(draw(2))]), json.dumps([1.0] + [0.0] * 31)
    about = f'"identity": "Ada", "gallery": "{gallery}", "files": {files}, "metadata": '.encode()
    typed = {"Content-Type": "application/json"}

    for answer in (
        client.post("/enroll", content=b"{" + about + metadata + b"}", headers=typed),
        client.post(
            "/enroll",
            data={"identity": "Ada", "gallery": gallery, "metadata": metadata.decode()},
            files=[part(draw(2))],
        ),
        client.patch(
            f"/galleries/{gallery}/identities/x",
            content=b'{"metadata": ' + metadata + b"}",
            headers=typed,
        ),
    ):
        assert rule in assert_problem(answer, 422, "invalid-parameter")
    lines = [
        b'{"identity": "Ada", "metadata": %b, "embedding": %b}' % (metadata, vector.encode()),
        b'{"identity": "Ada", "metadata": %b, %b}'
        % (metadata, json.dumps(as_json(draw(2)))[1:-1].encode()),
    ]
    bulk = client.post(f"/enroll/bulk?gallery={gallery}", content=b"\n".join(lines))
    problems = [json.loads(line)["problem"] for line in bulk.text.splitlines()]
    assert [problem["status"] for problem in problems] == [422, 422]
    assert all(f"metadata: expected {rule}" in problem["detail"] for problem in problems)
    [only] = client.get(f"/galleries/{gallery}/identities").json()["items"]
    assert (only["identity"], only["metadata"]) == ("x", {})


def test_metadata_may_be_as_deep_as_the_rule_says(client, gallery):
    metadata = json.loads('{"a": ' + "[" * 31 + "1.5" + "]" * 31 + "}")
    body = {"identity": "Ada", "gallery": gallery, "files": [as_json(GOOD)], "metadata": metadata}

    assert client.post("/enroll", json=body).status_code == 201

    assert client.get(f"/galleries/{gallery}/identities/Ada").json()["metadata"] == metadata


def test_a_problem_never_holds_what_was_sent(client):
    canary = "c4n4ry-sent"

    for answer in (
        client.post("/identify", json={"gallery": canary + "/", "files": [as_json(GOOD)]}),
        client.post("/identify", json={"threshold": canary, "files": [as_json(GOOD)]}),
        client.post("/embed", json={"files": [{"base64": canary + "%"}]}),
        client.get(f"/galleries/{canary}"),
        client.get(f"/comparators/{canary}"),
    ):
        assert canary not in answer.text


def test_limits_are_settings(start_service):
    service = start_service(
        max_upload_bytes=20_000, max_file_bytes=5_000, max_files=3, max_embeddings=4
    )
    noise = np.random.default_rng(0).bytes(6_000)

    with service.client() as client:
        too_long = client.post("/embed", files=[part(noise)])
        too_many = client.post("/embed", files=[part(GOOD)] * 4)
        too_much = client.post("/embed", files=[part(noise[:4_000])] * 6)
        unannounced = client.post(
            "/embed",
            content=(b" " * 1_000 for _ in range(50)),
            headers={"Content-Type": "application/json"},
        )
        vectors = [{"embedding": [1.0] + [0.0] * 31}]
        enough = client.post("/cluster", json={"files": vectors * 4})
        excess = client.post("/cluster", json={"files": vectors * 5})

    for answer in (too_long, too_many, too_much, unannounced, excess):
        assert_problem(answer, 413, "too-large")
    assert enough.status_code == 200


def test_a_bulk_line_keeps_to_the_same_bounds_as_an_enrollment(client, gallery):
    lines = [
        {"identity": "Ada", "metadata": {"x": "y" * 5000}, **as_json(GOOD)},
        {"identity": "Bob", "metadata": {"x": "y"}, **as_json(GOOD)},
    ]

    answer = client.post(
        f"/enroll/bulk?gallery={gallery}", content="\n".join(map(json.dumps, lines))
    )

    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["outcome"] for line in told] == ["failed", "added"]
    assert told[0]["problem"]["type"].endswith("#too-large")


def test_a_bulk_body_over_the_limit_ends_with_the_line_it_stopped_at(start_service):
    line = json.dumps({"identity": "Ada", **as_json(GOOD)}) + "\n"
    service = start_service(max_bulk_bytes=100 * len(line))

    with service.client() as client:
        answer = client.post("/enroll/bulk", content=(line.encode() for _ in range(101)))

    told = [json.loads(line) for line in answer.text.splitlines()]
    assert {line["outcome"] for line in told[:-1]} <= {"added", "duplicate"}
    assert [line["line"] for line in told] == list(range(len(told)))
    assert told[-1]["outcome"] == "failed"
    assert told[-1]["problem"]["type"].endswith("#too-large")
