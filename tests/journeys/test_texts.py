"""Texts through HTTP, on a real service with a bundle of text made without torch."""

import pytest

from models_store.bundle import open_bundle
from tests.services import Service
from tests.text_bundles import TEXTS, make_text_bundle
from training.text_pairs import read_text_pairs, served_distances

FLUTE = "The man plays the flute."
AGAIN = "THE MAN PLAYS THE FLUTE"
BOAT = "The sailor paints the boat."
ONION = "The cook cuts the onion."
WINDOW = "A bird drops by the window, twice."


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_text_bundle(tmp_path_factory.mktemp("texts") / "bundles")


@pytest.fixture(scope="module")
def client(bundle, tmp_path_factory):
    data = tmp_path_factory.mktemp("texts") / "data"
    service = Service(data, bundle.parent.parent, max_characters=2000).start()
    try:
        with service.wait_ready().client() as client:
            yield client
    finally:
        service.stop()


def as_json(*texts):
    return [{"text": text} for text in texts]


def as_fields(*texts):
    """Return texts as plain multipart fields called `files`."""
    return [("files", (None, text)) for text in texts]


def as_files(*texts):
    return [("files", (f"{i}.txt", text.encode(), "text/plain")) for i, text in enumerate(texts)]


def test_the_same_words_score_more_than_others_whichever_way_they_come(client):
    by_json = client.post("/verify", json={"a": {"text": FLUTE}, "b": {"text": AGAIN}})
    by_field = client.post("/verify", files=[("a", (None, FLUTE)), ("b", (None, AGAIN))])
    by_file = client.post(
        "/verify",
        files=[("a", ("a.txt", FLUTE.encode(), "text/plain")), ("b", (None, AGAIN))],
    )
    marked = client.post(
        "/verify",
        files=[("a", ("a.txt", FLUTE.encode("utf-8-sig"))), ("b", ("b", AGAIN.encode()))],
    )
    other = client.post("/verify", json={"a": {"text": FLUTE}, "b": {"text": ONION}})

    scores = [each.json()["score"] for each in (by_json, by_field, by_file, marked)]
    assert scores == pytest.approx([scores[0]] * 4, abs=1e-6)
    assert scores[0] > 0.9 > other.json()["score"]


def test_verify_scores_pairs_as_the_evaluation_of_a_table_does(client, bundle, tmp_path):
    rows = [
        (FLUTE, AGAIN, 1),
        (FLUTE, ONION, 0),
        (BOAT, WINDOW, 0),
        (" ".join(TEXTS[:9]), BOAT, 0),
    ]
    table = tmp_path / "pairs.tsv"
    table.write_text("\n".join(["a\tb\tsame", *("\t".join(map(str, row)) for row in rows)]))
    comparator = open_bundle(bundle)

    measured = comparator.score(served_distances(comparator, read_text_pairs(table)))
    served = [
        client.post("/verify", json={"a": {"text": a}, "b": {"text": b}}).json()["score"]
        for a, b, _ in rows
    ]

    assert served == pytest.approx(measured.tolist(), abs=1e-5)


@pytest.mark.parametrize("way", ["json", "fields", "files"])
def test_an_enrolled_text_is_found_again_in_other_words_and_a_stranger_is_not(client, way):
    gallery = f"by-{way}"

    def ask(path, *texts, **fields):
        if way == "json":
            return client.post(path, json={"files": as_json(*texts), "gallery": gallery} | fields)
        parts = as_fields(*texts) if way == "fields" else as_files(*texts)
        return client.post(path, files=parts, data={"gallery": gallery} | fields)

    assert client.post("/galleries", json={"name": gallery}).status_code == 201
    for identity, text in (("flute", FLUTE), ("boat", BOAT), ("onion", ONION)):
        assert ask("/enroll", text, identity=identity).status_code == 201
    found = ask("/identify", AGAIN, "the boat: the sailor paints.", WINDOW, target_fpir=0.05)

    assert found.status_code == 200, found.text
    first, second, third = found.json()["results"]
    assert first["identity"] == "flute"
    assert second["identity"] == "boat"
    assert third["identity"] is None


@pytest.mark.parametrize("way", ["json", "fields", "files"])
def test_texts_of_the_same_words_are_one_cluster(client, way):
    texts = (FLUTE, BOAT, AGAIN, ONION, BOAT.upper())

    if way == "json":
        found = client.post("/cluster", json={"files": as_json(*texts)})
    else:
        found = client.post(
            "/cluster", files={"fields": as_fields, "files": as_files}[way](*texts)
        )

    assert found.status_code == 200, found.text
    labels = found.json()["labels"]
    assert labels[0] == labels[2]
    assert labels[1] == labels[4]
    assert len({labels[0], labels[1], labels[3]}) == 3


def test_a_long_text_is_compared_to_its_end(client):
    long = " ".join(TEXTS[:40])

    found = client.post("/embed", json={"files": as_json(long, f"{long} {BOAT}", long)})

    first, second, third = found.json()["embeddings"]
    assert first == pytest.approx(third, abs=1e-6)
    assert first != pytest.approx(second, abs=1e-4)


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        pytest.param(b"\xff\xfe", 422, "UTF-8", id="not utf-8"),
        pytest.param(b"\xed\xa0\x80", 422, "UTF-8", id="a lone surrogate"),
        pytest.param(b" \n\t", 422, "blank", id="blank"),
        pytest.param("\u200b\u200d".encode(), 422, "blank", id="zero-width"),
        pytest.param(b"\0", 422, "blank", id="NUL"),
        pytest.param(b"a" * 1_000_000, 422, "at most 2000 characters", id="a million characters"),
    ],
)
def test_what_is_no_text_is_refused_with_a_reason(client, content, status, said):
    answer = client.post("/embed", files=[("files", ("a.txt", content, "text/plain"))])

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.text


def test_a_lone_surrogate_in_json_is_refused(client):
    answer = client.post(
        "/embed",
        content=b'{"files": [{"text": "a \\ud800 b"}]}',
        headers={"content-type": "application/json"},
    )

    assert answer.status_code == 422
    assert "lone surrogates" in answer.text
