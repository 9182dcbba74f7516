"""Galleries edited, and decisions judged, by the client."""

import pytest

from kindred import Client
from kindred.problems import NotFound, Problem, SampleNotKept
from tests.drawings import draw


@pytest.fixture
def client(running_service):
    with Client(running_service.url) as client:
        yield client


@pytest.fixture
def gallery(client, request):
    """A gallery of two, each drawn twice, that keeps what is uploaded."""
    name = f"g{abs(hash(request.node.nodeid)) % 10**12}"
    client.create_gallery(name, keep_samples=True)
    for i, identity in enumerate(("one", "two")):
        client.enroll(identity, [draw(i), draw(i, 1)], gallery=name)
    return name


def test_identities_are_merged_split_renamed_and_all_is_undone(client, gallery):
    merged = client.merge_identities(gallery, "two", "one")
    named = client.identify(draw(1), gallery=gallery, threshold=0.5).results[0].identity
    client.undo_edit(gallery)
    (_, second) = (sample.id for sample in client.get_identity(gallery, "one").samples)
    split = client.split_identity(gallery, "one", [second], "three")
    client.undo_edit(gallery, split.version)
    client.update_identity(gallery, "one", name="first")

    assert len(merged.samples) == 2
    assert named == "one"
    assert split.samples == (second,)
    assert {one.identity: len(one.samples) for one in client.identities(gallery)} == {
        "first": 2,
        "two": 2,
    }
    assert client.list_edits(gallery).edits[0].operation == "rename"
    assert client.similar_identities(gallery, "two").similar[0].identity == "first"
    with pytest.raises(Problem) as refused:
        client.undo_edit(gallery, split.version)
    assert refused.value.status in (404, 409)


def test_a_gallery_decides_otherwise_as_far_as_it_was_said(client, gallery):
    changed = client.update_gallery(gallery, target_fpir=0.2, rule="max")
    partly = client.update_gallery(gallery, rule=None)

    assert (changed.target_fpir, changed.rule) == (0.2, "max")
    assert partly.target_fpir == 0.2


def test_what_is_kept_is_shown_again(client, gallery):
    sample = client.get_identity(gallery, "one").samples[0].id
    embedding = client.embed(draw(7)).embeddings[0]
    bare = client.enroll("one", embedding, gallery=gallery).samples[0].id

    assert client.get_preview(gallery, "one", sample).startswith(b"\x89PNG")
    with pytest.raises(SampleNotKept):
        client.get_preview(gallery, "one", bare)


def test_a_decision_is_judged_and_the_next_one_knows(client, gallery):
    def ask():
        answer = client.identify(draw(0, 2), gallery=gallery, threshold=0.5)
        return answer.decisions[0], answer.results[0]

    decision, found = ask()
    again = client.get_decision(decision)

    rejected = client.give_feedback(decision, "reject")
    _, refused = ask()
    client.take_rejection_back(gallery, rejected.rejection)
    decision, accepted = ask()
    confirmed = client.give_feedback(decision, "confirm", sample=draw(0, 2))

    assert (again.gallery, again.result.identity) == (gallery, found.identity)
    assert found.identity == accepted.identity == "one"
    assert refused.identity != "one"
    assert client.list_rejections(gallery).rejections == ()
    assert (confirmed.identity, confirmed.outcome) == ("one", "added")
    with pytest.raises(NotFound):
        client.get_decision("0" * 24)
