"""`kindred enroll`: a folder, and what becomes of it when the command is killed."""

import re
import time

import httpx
import pytest

from kindred import Client
from tests.drawings import draw
from tests.kindred.commands import run, start

OUTCOME = re.compile(
    r'^kindred_enrolled_samples_total\{gallery="_other",outcome="(\w+)"\} (\S+)$', re.MULTILINE
)


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Where a run leaves what is done, for this test alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def gallery(running_service, request):
    name = f"e{abs(hash(request.node.nodeid)) % 10**12}"
    with Client(running_service.url) as client:
        client.create_gallery(name)
        yield name
        client.delete_gallery(name)


@pytest.fixture
def kindred(running_service, capsys, monkeypatch, state, gallery):
    monkeypatch.setenv("KINDRED_URL", running_service.url)
    return lambda *words: run(capsys, "enroll", "--gallery", gallery, *words)


def make_folder(folder, identities, takes):
    for i in range(identities):
        (folder / f"c{i:03}").mkdir(parents=True)
        for take in range(takes):
            (folder / f"c{i:03}" / f"{take}.png").write_bytes(draw(100 * i + take))
    return folder


def kept(service, gallery):
    with Client(service.url) as client:
        return {one.identity: len(one.samples) for one in client.identities(gallery)}


def sent(service):
    """Return how many samples came to enroll, by outcome."""
    metrics = httpx.get(f"{service.url}/metrics").text
    return {outcome: float(count) for outcome, count in OUTCOME.findall(metrics)}


def test_a_folder_of_folders_is_enrolled_under_their_names(
    kindred, running_service, gallery, tmp_path, state
):
    folder = make_folder(tmp_path / "letters", 3, 2)
    (folder / "README").write_text("mine")
    (folder / "c001" / ".hidden").write_text("mine")
    (folder / "c001" / "deep").mkdir()
    (folder / "c001" / "deep" / "more.png").write_bytes(draw(150))

    done = kindred(folder)
    again = kindred(folder)

    assert (done.status, again.status) == (0, 0)
    assert done.out == f"{gallery}: 7 added, 0 duplicate, 0 failed\n"
    assert again.out == f"{gallery}: 0 added, 7 duplicate, 0 failed\n"
    assert "README lies beside" in done.err
    assert kept(running_service, gallery) == {"c000": 2, "c001": 3, "c002": 2}
    assert list(state.rglob("*.enrolled")) == []


def test_all_files_may_be_one_identitys(kindred, running_service, gallery, tmp_path):
    (tmp_path / "flat").mkdir()
    for take in range(3):
        (tmp_path / "flat" / f"{take}.png").write_bytes(draw(take))

    assert kindred(tmp_path / "flat").status == 2
    done = kindred(tmp_path / "flat", "--identity", "Ωμέγα", "--json")

    assert kept(running_service, gallery) == {"Ωμέγα": 3}
    assert [line["outcome"] for line in done.objects] == ["added"] * 3
    assert {"file", "identity", "outcome", "id", "version"} <= set(done.objects[0])


def test_a_file_that_cannot_be_used_is_told_and_the_others_are_kept(
    kindred, running_service, gallery, tmp_path
):
    folder = make_folder(tmp_path / "letters", 2, 2)
    (folder / "c000" / "bad.png").write_bytes(b"nonsense")
    (folder / "c000" / "gone.png").symlink_to(tmp_path / "nowhere")

    done = kindred(folder)

    assert done.status == 2
    assert "4 added, 0 duplicate, 1 failed" in done.out
    assert re.search(r"bad\.png: undecodable-input: ", done.err)
    assert kept(running_service, gallery) == {"c000": 2, "c001": 2}


def test_a_file_that_seems_to_be_somebody_elses_is_told_by_its_name(kindred, tmp_path):
    folder = make_folder(tmp_path / "letters", identities=2, takes=1)
    kindred(folder)
    stray = folder / "c000" / "stray.png"
    stray.write_bytes(draw(100, 7))

    done = kindred(folder)

    assert done.status == 0
    assert re.fullmatch(rf"kindred: {stray}: it (is|would be) [a-z ]+\n", done.err)


def test_a_run_that_was_killed_goes_on_and_sends_nothing_twice_that_it_knows(
    kindred, running_service, gallery, tmp_path, state
):
    folder = make_folder(tmp_path / "letters", 60, 12)
    running = start(
        "enroll", folder, "--gallery", gallery, "--json", KINDRED_URL=running_service.url
    )
    for _ in range(10):
        assert '"added"' in running.stdout.readline()
    running.kill()
    running.communicate()
    (ledger,) = state.rglob("*.enrolled")
    known = len(ledger.read_text().splitlines())
    before = sent(running_service)

    done = kindred(folder)

    after = sent(running_service)
    again = {outcome: after[outcome] - before.get(outcome, 0) for outcome in after}
    assert 10 <= known < 720
    assert done.status == 0
    assert kept(running_service, gallery) == {f"c{i:03}": 12 for i in range(60)}
    assert again["added"] + again["duplicate"] <= 720 - known
    assert again["duplicate"] <= 2 * 256  # what was under way
    assert f"{known} of 720 files are done already" in done.err
    assert not ledger.exists()


def test_what_was_changed_or_belongs_to_another_gallery_is_sent_again(
    kindred, running_service, gallery, tmp_path, state, monkeypatch
):
    from kindred.commands import enrolling

    folder = make_folder(tmp_path / "letters", 2, 2)
    monkeypatch.setattr(enrolling.Ledger, "remove", lambda _: None)  # as if it had been killed
    kindred(folder)
    (folder / "c000" / "0.png").write_bytes(draw(4000))

    changed = kindred(folder)
    untouched = kindred(folder)
    with Client(running_service.url) as client:
        client.delete_gallery(gallery)
        time.sleep(0.01)
        client.create_gallery(gallery)
    anew = kindred(folder)

    assert "1 added, 0 duplicate" in changed.out
    assert "0 added, 0 duplicate" in untouched.out
    assert "4 added, 0 duplicate" in anew.out


def test_afresh_sends_everything_again(kindred, tmp_path, state, monkeypatch):
    from kindred.commands import enrolling

    folder = make_folder(tmp_path / "letters", 2, 2)
    remove = enrolling.Ledger.remove
    monkeypatch.setattr(enrolling.Ledger, "remove", lambda _: None)
    kindred(folder)
    monkeypatch.setattr(enrolling.Ledger, "remove", remove)

    assert "4 duplicate" in kindred(folder, "--afresh").out


def test_where_nothing_can_be_noted_it_is_enrolled_all_the_same(kindred, tmp_path, state):
    folder = make_folder(tmp_path / "letters", 2, 2)
    state.write_text("a file where a folder would be")

    done = kindred(folder)

    assert "4 added" in done.out
    assert done.err.count("sent once more") == 1
