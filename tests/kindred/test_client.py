"""The client, on a real service."""

import threading

import anyio
import anyio.lowlevel
import numpy as np
import pytest

from kindred import AsyncClient, Client, Text
from kindred.archives import Incomplete
from kindred.problems import (
    AlreadyExists,
    InvalidParameter,
    ModelMismatch,
    NotFound,
    TargetUnresolvable,
    Unauthenticated,
    UndecodableInput,
    UnexpectedAnswer,
    Unreachable,
)
from tests.drawings import draw
from tests.servers import free_port


@pytest.fixture
def client(running_service):
    with Client(running_service.url) as client:
        yield client


@pytest.fixture
def gallery(client, request):
    """An empty gallery that belongs to one test."""
    return client.create_gallery(f"g{abs(hash(request.node.nodeid)) % 10**12}").name


def test_samples_are_verified_enrolled_identified_clustered_and_forgotten(client, gallery):
    same = client.verify(draw(1), draw(1, 1), target_fmr=0.1)
    other = client.verify(draw(1), draw(2), target_fmr=0.1)
    enrolled = client.enroll("one", [draw(1), draw(1, 1)], gallery=gallery, metadata={"of": 1})
    found = client.identify([draw(1, 2), draw(9)], gallery=gallery, target_fpir=0.05)
    grouped = client.cluster([draw(1), draw(2), draw(1, 1)])

    assert (same.match, other.match) == (True, False)
    assert [sample.outcome for sample in enrolled.samples] == ["added", "added"]
    assert [result.identity for result in found.results] == ["one", None]
    assert found.version == enrolled.version
    assert grouped.labels[0] == grouped.labels[2] != grouped.labels[1]
    assert client.get_identity(gallery, "one").metadata == {"of": 1}

    client.forget_sample(gallery, "one", enrolled.samples[0].id)
    gone = client.forget_identity(gallery, "one")

    assert client.get_receipt(gallery, gone.version).erased_from.index
    assert client.identify(draw(1), gallery=gallery).results[0].outcome == "unknown"
    with pytest.raises(NotFound):
        client.get_identity(gallery, "one")


def test_an_embedding_is_as_good_as_the_file_that_it_is_of(client, gallery):
    client.enroll("one", draw(1), gallery=gallery)

    embedding = np.array(client.embed(draw(1, 1)).embeddings[0], np.float32)
    by_file, by_embedding = (
        client.identify(sample, gallery=gallery).results[0] for sample in (draw(1, 1), embedding)
    )

    assert by_file.identity == by_embedding.identity == "one"
    assert by_file.score == pytest.approx(by_embedding.score, abs=1e-6)


def test_problems_are_exceptions_of_their_own(client, gallery):
    cases = [
        (NotFound, lambda: client.get_gallery("nowhere")),
        (AlreadyExists, lambda: client.create_gallery(gallery)),
        (UndecodableInput, lambda: client.identify(b"nonsense", gallery=gallery)),
        (TargetUnresolvable, lambda: client.identify(draw(1), target_fpir=1e-9)),
        (InvalidParameter, lambda: client.identify(draw(1), target_fpir=2)),
        (InvalidParameter, lambda: client.enroll("a/b", draw(1))),
        (InvalidParameter, lambda: client.identify([])),
        (ModelMismatch, lambda: client.verify(Text("a"), Text("b"))),
    ]

    for error, call in cases:
        with pytest.raises(error) as caught:
            call()
        assert caught.value.slug in caught.value.type
        assert caught.value.instance.startswith("urn:request:")


def test_one_sample_that_fails_among_others_is_told_beside_them(client):
    answer = client.embed([draw(1), b"nonsense", draw(2)])

    (failure,) = answer.failures
    assert (failure.index, type(failure.problem)) == (1, UndecodableInput)
    assert [row is None for row in answer.embeddings] == [False, True, False]
    assert len(answer.embeddings[0]) == answer.dimension


def test_nobody_there_is_told_with_the_address_and_without_much_waiting():
    url = f"http://127.0.0.1:{free_port()}"

    with Client(url, patience=0.5) as client, pytest.raises(Unreachable, match=url):
        client.list_galleries()


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "http://",
        "http:///galleries",
        "http://[::1",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:port",
    ],
)
def test_what_is_no_address_is_refused_at_once(url):
    with pytest.raises(ValueError, match="expected a URL"):
        Client(url)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("key", ["schlüssel", "two\nlines", "ended\n", " padded", "nul\0"])
def test_a_key_that_no_header_can_carry_is_refused_at_once_and_not_told(kind, key):
    with pytest.raises(ValueError, match="expected an API key") as refused:
        kind("http://127.0.0.1:8000", key)

    assert key.strip() not in str(refused.value)


def test_something_else_that_listens_there_is_told(running_service):
    with Client(running_service.url + "/docs") as client, pytest.raises(UnexpectedAnswer):
        client.about()


def test_the_environment_says_where_the_service_is(running_service, monkeypatch):
    monkeypatch.setenv("KINDRED_URL", running_service.url)

    with Client() as client:
        assert client.live().alive


def test_galleries_are_carried_elsewhere_to_the_last_sample(client, gallery, tmp_path):
    client.enroll("one", [draw(1), draw(1, 1)], gallery=gallery)
    seen = []

    client.export_gallery(gallery, tmp_path / "all.ndjson", on_bytes=seen.append)
    carried = client.import_gallery(tmp_path / "all.ndjson", f"{gallery}-again")

    assert (carried.identities, carried.samples) == (1, 2)
    assert sum(seen) == (tmp_path / "all.ndjson").stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["all.ndjson"]
    assert client.identify(draw(1, 2), gallery=carried.name).results[0].identity == "one"


def test_an_export_that_is_not_whole_leaves_no_file(tmp_path):
    from kindred.archives import Export

    for ending in (b"", b'{"end": 3', b'{"identity": "x"}\n'):
        with pytest.raises(Incomplete), Export(tmp_path / "all") as export:
            export.take(b'{"kindred": 1}\n' + ending)

    assert list(tmp_path.iterdir()) == []


def test_many_are_enrolled_in_order_each_with_its_outcome(client, gallery):
    bad = b"nonsense"
    long = bytes(2 * 2**20)  # by itself, so that it stops nobody else
    items = [("one", draw(1)), ("two", bad), ("two", long), ("one", draw(1)), ("a/b", draw(2))]
    items += [("three", draw(3), {"of": 3}), ("four", client.embed(draw(4)).embeddings[0])]

    lines = list(client.enroll_many(iter(items), gallery=gallery))

    twice = {lines[0].outcome, lines[3].outcome}  # at once, so that either may be the first
    others = [lines[i].outcome for i in (1, 2, 4, 5, 6)]
    assert twice == {"added", "duplicate"}
    assert others == ["failed", "failed", "failed", "added", "added"]
    assert [line.index for line in lines] == list(range(7))
    assert [type(lines[i].problem) for i in (1, 2, 4)] == [
        UndecodableInput,
        UndecodableInput,
        InvalidParameter,
    ]
    assert {page.identity for page in client.identities(gallery)} == {"one", "three", "four"}
    assert client.get_identity(gallery, "three").metadata == {"of": 3}


def test_many_are_read_no_faster_than_they_are_kept(client, gallery):
    read = []

    def items():
        for i in range(2000):
            read.append(i)
            yield f"i{i}", draw(i)

    lines = client.enroll_many(items(), gallery=gallery)
    assert read == []
    first = next(lines)

    assert first.outcome == "added"
    assert len(read) <= 256
    lines.close()
    assert client.get_gallery(gallery).samples == len(read)


def test_what_concerns_all_is_raised(client):
    with pytest.raises(NotFound):
        list(client.enroll_many([("a", draw(1))], gallery="nowhere"))


def test_a_line_that_passes_a_limit_of_the_service_stops_nobody_else(start_service):
    service = start_service(max_file_bytes=2000)
    large = np.random.default_rng(1).bytes(300_000)

    with Client(service.url) as client:
        lines = list(client.enroll_many([("a", draw(1)), ("b", large), ("c", draw(3))]))

    assert [line.outcome for line in lines] == ["added", "failed", "added"]
    assert lines[1].problem.slug == "too-large"


def test_pages_follow_each_other_to_the_last(client, gallery, monkeypatch):
    monkeypatch.setattr("kindred.client.PAGE", 3)
    list(client.enroll_many(((f"i{i}", draw(i)) for i in range(8)), gallery=gallery))

    names = [one.identity for one in client.identities(gallery)]

    assert sorted(names) == [f"i{i}" for i in range(8)]


def test_one_client_serves_several_threads(client, gallery):
    client.enroll("one", draw(1), gallery=gallery)
    found = []

    def ask():
        for _ in range(5):
            found.append(client.identify(draw(1, 1), gallery=gallery).results[0].identity)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == ["one"] * 30


def test_a_key_goes_along_and_is_shown_nowhere(start_service, tmp_path):
    service = start_service(api_keys="open-sesame")

    with Client(service.url, "open-sesame") as client:
        assert client.list_galleries().galleries
        assert "open-sesame" not in repr(vars(client)["_http"].headers)
    with Client(service.url) as client:
        assert client.live().alive
        with pytest.raises(Unauthenticated, match="KEY") as caught:
            client.list_galleries()
        assert caught.value.status == 401


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_awaited_client_does_the_same(running_service, tmp_path, backend):
    if backend == "trio":
        pytest.importorskip("trio")
    name = f"awaited-{backend}"

    async def journey():
        async with AsyncClient(running_service.url) as client:
            await client.create_gallery(name)
            path = tmp_path / "1.png"
            path.write_bytes(draw(1))
            await client.enroll("one", [path], gallery=name)

            async def more():
                for i in range(2, 5):
                    yield f"i{i}", draw(i)

            lines = [line async for line in client.enroll_many(more(), gallery=name)]
            lines += [line async for line in client.enroll_many([("one", path)], gallery=name)]
            found = await client.identify(draw(1, 1), gallery=name)
            await client.export_gallery(name, tmp_path / "all")
            carried = await client.import_gallery(tmp_path / "all", f"{name}-again")
            names = [one.identity async for one in client.identities(name)]
            with pytest.raises(NotFound):
                await client.get_gallery("nowhere")
            return lines, found, carried, names

    lines, found, carried, names = anyio.run(journey, backend=backend)

    assert [line.outcome for line in lines] == ["added"] * 3 + ["duplicate"]
    assert found.results[0].identity == "one"
    assert carried.samples == 4
    assert sorted(names) == ["i2", "i3", "i4", "one"]


def test_awaited_calls_wait_beside_each_other(running_service):
    async def many():
        found = []

        async def ask(client):
            found.append((await client.verify(draw(1), draw(1))).match)

        async with AsyncClient(running_service.url) as client, anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(ask, client)
            await anyio.lowlevel.checkpoint()
            assert not found
        return found

    assert anyio.run(many) == [True] * 20


@pytest.mark.slow
def test_an_evaluation_is_a_report_on_samples_and_whose_they_are(client):
    samples = [draw(character, take) for character in range(4) for take in range(1, 4)]
    names = [f"c{character}" for character in range(4) for _ in range(3)]

    found = client.evaluate(samples, identities=names)

    assert (found.samples, found.identities) == (12, 4)
    assert found.report["pairs"]["auc"]["counted"]
