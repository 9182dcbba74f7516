"""The console's first minutes, in a real browser on what is shipped: files, camera, microphone."""

import io
import json
import os
import re
import subprocess
import sys

import pytest
import soundfile

from tests.browser import choose, installed, opened, press, show, status
from tests.services import ROOT, Service
from tests.sounds import encoded, voice

pytestmark = pytest.mark.slow

DRAWINGS = ROOT / "kindred" / "drawings"
NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
DEVICES = ("--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required")
ALLOWED = "--use-fake-ui-for-media-stream"
WATCH = """
    const lend = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    globalThis.lent = [];
    navigator.mediaDevices.getUserMedia = async (wanted) => {
        const stream = await lend(wanted);
        lent.push(...stream.getTracks());
        return stream;
    };
    const show = URL.createObjectURL;
    URL.createObjectURL = (blob) => { globalThis.clip = blob; return show.call(URL, blob); };
    null"""
LOUD = """(sound) => new Promise((done) => {
    if (sound.duration) done(sound.duration);
    sound.onloadedmetadata = () => done(sound.duration);
    sound.onerror = () => done(sound.error.message);
})"""
LIGHTS = "lent.filter((track) => track.readyState === 'live').length"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    installed()
    root = tmp_path_factory.mktemp("first")
    service = Service(
        root / "var", ROOT / "models_store" / "bundles", allowed_hosts="kindred.test"
    )
    yield service.start(timeout=300).wait_ready()
    assert service.stop() == 0


@pytest.fixture
def gallery(served, request):
    """Make an empty gallery of a comparator, which keeps samples."""
    made = []

    def make(comparator="ink"):
        name = f"{comparator}-{request.node.name[:20]}-{len(made)}".replace("_", "-")
        with served.client() as client:
            told = {"name": name, "comparator": comparator, "keep_samples": True}
            client.post("/galleries", json=told).raise_for_status()
        made.append(name)
        return name

    yield make
    with served.client() as client:
        for name in made:
            client.delete(f"/galleries/{name}")


@pytest.fixture
def tab(served):
    with opened(f"{served.url}/console/", NO_NETWORK) as tab:
        yield tab
        tab.demand_quiet()


def letter(name, *hands):
    return [DRAWINGS / f"greek-{name}" / f"{hand}.png" for hand in hands]


def test_without_a_network_from_an_empty_gallery_to_a_match_a_merge_an_undo_and_a_receipt(tab):
    page = tab.page
    page.get_by_role("heading", name="Nobody is enrolled yet").wait_for()

    show(page, "Verify")
    page.get_by_label("Comparator", exact=True).select_option("ink@1")
    page.get_by_label("First sample").set_input_files(letter("01", 1))
    page.get_by_label("Second sample").set_input_files(letter("01", 2))
    press(page, "Verify")
    assert said(page, "Same")
    page.get_by_label("Second sample").set_input_files(letter("24", 2))
    press(page, "Verify")
    assert said(page, "Different")

    show(page, "Identify")
    page.get_by_label("Samples").set_input_files(letter("01", 4))
    press(page, "Identify")
    assert "Nobody is enrolled in this gallery" in said(page, "Unknown")

    show(page, "Gallery")
    page.get_by_text("Nobody is enrolled here.").wait_for()  # which does not stay

    show(page, "Enroll")
    for name, files in (("alpha", letter("01", 1)), ("twin", letter("01", 2, 3))):
        page.get_by_label("Samples").set_input_files(files)
        page.get_by_label("Identity").fill(name)
        page.get_by_role("button", name="Enroll", exact=False).first.click()
        assert status(page, "Enrolled").startswith(f"Enrolled: {len(files)} sample")

    show(page, "Identify")
    press(page, "Identify")
    assert said(page, r"Match\s(alpha|twin)\b")
    press(page, "Clear")
    page.get_by_label("Samples").set_input_files(letter("24", 1))
    press(page, "Identify")
    told = said(page, "Unknown")
    assert re.search(r"Nearest is (alpha|twin) with 0\.\d+; a match needs 0\.\d+", told)

    show(page, "Gallery")
    press(page, "Edit twin")
    page.get_by_role("button", name=re.compile(r"^alpha 0\.")).click()  # the most alike
    press(page, "Merge")
    assert status(page, "Merged twin into alpha")
    page.get_by_role("status").get_by_role("button", name="Undo").click()
    assert status(page, "Undone")
    page.get_by_role("rowheader", name="twin", exact=True).wait_for()
    for name in ("twin", "alpha"):
        press(page, f"Forget {name}")
        page.get_by_role("dialog").get_by_role("button", name="Forget").click()
        assert "the record in the store" in status(page, f"Forgotten .*: {name}")
    page.get_by_text("Nobody is enrolled here.").wait_for()


def said(page, word):
    """Return what the one status of a page says, once it starts with a word."""
    place = page.get_by_role("status")
    place.filter(has_text=re.compile(rf"^({word})")).wait_for()
    return re.sub(r"\s+", " ", place.inner_text())


def test_an_empty_gallery_offers_drawings_and_three_that_come_to_three_outcomes(tab, gallery):
    page = tab.page
    name = gallery()
    page.reload()
    show(page, "Enroll")
    choose(page, name)
    press(page, "Begin with 20 sample drawings")
    page.get_by_role("button", name="Enroll 20 samples of 10 identities").wait_for()
    assert not [request for request in tab.requests if request.startswith("POST")]
    press(page, "Enroll 20 samples of 10 identities")
    assert status(page, "Enrolled") == "Enrolled: 20 samples added."

    press(page, "Ask whose another drawing is")
    for words, outcome in (
        ("An enrolled letter, by another hand", "Match greek-21"),
        ("A letter that nobody enrolled", "Unknown"),
        ("An odd one, if only 1\u00a0% may be wrong", "Possible"),
    ):
        press(page, words)
        told = status(page, outcome)
        assert "Enrolled that this threshold misses" in told
        assert "Margin" in told
        assert "Probability" in told
        page.locator(".references img").first.wait_for()  # the nearest, to be looked at


def test_what_the_microphone_hears_is_enrolled_and_recognised(served, gallery, tmp_path):
    name = gallery("voice")
    with served.client() as client:
        for person in range(12):
            files = [
                ("files", (f"{take}.wav", encoded(voice(person, take, 3)))) for take in (1, 2)
            ]
            fields = {"gallery": name, "identity": f"voice-{person}"}
            assert client.post("/enroll", data=fields, files=files).status_code == 201
    clip = tmp_path / "spoken.wav"
    clip.write_bytes(encoded(voice(4, 9, 6, rate=48_000), 48_000))

    flags = (*DEVICES, ALLOWED, f"--use-file-for-fake-audio-capture={clip}")
    with opened(f"{served.url}/console/", *flags) as tab:
        page = tab.page
        page.evaluate(WATCH)
        show(page, "Identify")
        choose(page, name)
        press(page, "Microphone")
        press(page, "Record")
        status(page, "Recording")
        page.get_by_text(re.compile(r"Level: -[1-5]?\d\sdB, [4-9]\ss")).wait_for()
        assert page.evaluate(LIGHTS) == 1
        press(page, "Stop")
        assert re.match(r"Recorded [4-9]\.?\d? seconds\.$", status(page, "Recorded"))
        assert page.evaluate(LIGHTS) == 0
        player = page.get_by_label("What was recorded")
        assert player.evaluate(LOUD) > 3.5
        written = page.evaluate("clip.arrayBuffer().then((all) => [...new Uint8Array(all)])")
        press(page, "Use the recording")
        press(page, "Identify")
        assert "voice-4" in status(page, "(Match|Possible)")

        press(page, "Microphone")  # and left while it listens
        press(page, "Record")
        status(page, "Recording")
        show(page, "Overview")
        assert page.evaluate(LIGHTS) == 0
        tab.demand_quiet()
    sound = soundfile.SoundFile(io.BytesIO(bytes(written)))
    assert (sound.format, sound.subtype, sound.channels) == ("WAV", "PCM_16", 1)
    assert sound.samplerate in (44_100, 48_000)
    assert 3.5 < sound.frames / sound.samplerate < 20


def test_a_picture_is_shown_before_it_is_used_and_the_camera_is_off_then(served, gallery):
    name = gallery()
    with opened(f"{served.url}/console/", *DEVICES, ALLOWED) as tab:
        page = tab.page
        page.evaluate(WATCH)
        show(page, "Identify")
        choose(page, name)
        press(page, "Camera")
        page.get_by_role("button", name="Take the picture", disabled=False).wait_for()
        page.wait_for_timeout(500)
        assert page.evaluate(LIGHTS) == 1
        press(page, "Take the picture")
        page.get_by_role("img", name="The picture that was taken").wait_for()
        assert page.evaluate(LIGHTS) == 0
        press(page, "Take another")
        page.wait_for_timeout(500)
        press(page, "Take the picture")
        press(page, "Use the picture")
        page.get_by_role("listitem").filter(has_text="photo-").wait_for()
        press(page, "Identify")
        assert status(page, "Unknown")
        assert page.evaluate(LIGHTS) == 0
        tab.demand_quiet()


def test_who_refuses_a_device_is_told_what_else_there_is(served):
    with opened(f"{served.url}/console/#identify", *DEVICES) as tab:
        press(tab.page, "Camera")
        assert "Allow it in the settings" in status(tab.page, "This browser does not let")
        tab.demand_quiet()
    there = served.url.replace("127.0.0.1", "kindred.test")
    with opened(f"{there}/console/#identify", "--host-resolver-rules=MAP * 127.0.0.1") as tab:
        press(tab.page, "Camera")
        assert "or at localhost" in status(tab.page, "Browsers lend the camera to secure pages")
        assert all("Cross-Origin-Opener-Policy" in each for each in tab.complaints)
        assert tab.foreign == []


def test_what_is_copied_does_the_same_elsewhere(served, gallery, tmp_path):
    name = gallery()
    for path in (*letter("01", 1, 2), *letter("24", 1)):
        (tmp_path / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    files = sorted(tmp_path.iterdir())
    with opened(
        f"{served.url}/console/#enroll", permissions=["clipboard-read", "clipboard-write"]
    ) as tab:
        page = tab.page
        choose(page, name)
        page.get_by_label("Samples").set_input_files(files[:2])
        page.get_by_label("Identity of row 1").fill("it's α")
        page.get_by_role("button", name="Enroll 2 samples").click()
        status(page, "Enrolled")
        calls = {"Enroll": copied(page)}
        show(page, "Identify")
        page.get_by_label("Samples").set_input_files([files[0], files[2]])
        page.get_by_label("Strangers that may be named").fill("7")
        press(page, "Identify")
        status(page, "Match")
        calls["Identify"] = copied(page)
        show(page, "Verify")
        page.get_by_label("Comparator", exact=True).select_option("ink@1")
        page.get_by_label("First sample").set_input_files(files[0])
        page.get_by_label("Second sample").set_input_files(files[2])
        press(page, "Verify")
        status(page, "Different")
        calls["Verify"] = copied(page)
        for view in ("Overview", "Gallery", "Threshold", "Health", "Live", "Comparators"):
            show(page, view)
            calls[view] = copied(page)
        tab.demand_quiet()

    for view, (curl, python) in calls.items():
        sent = run(["sh", "-c", curl], tmp_path)
        answered = run([sys.executable, "-c", python], tmp_path)
        if view == "Live":
            assert "kindred_http_requests_total" in sent
            continue
        answer = json.loads(sent)
        assert "status" not in answer, answer
        match view:
            case "Enroll":
                assert {each["outcome"] for each in answer["samples"]} == {"duplicate"}
                assert "outcome='duplicate'" in answered
            case "Identify":
                assert [each["outcome"] for each in answer["results"]] == ["match", "unknown"]
                assert "target_fpir=0.07" in answered
            case "Verify":
                assert answer["match"] is False
                assert "match=False" in answered
            case _:
                assert answered


def copied(page):
    found = []
    for language in ("curl", "Python"):
        press(page, f"Copy as {language}")
        page.get_by_text(f"Copied as {language}.").wait_for()
        found.append(page.evaluate("navigator.clipboard.readText()"))
    return found


def run(command, folder):
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=path, check=False
    )
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def test_the_live_view_counts_what_happens_and_stops_when_nobody_looks(tab, served):
    page = tab.page

    def reads():
        return tab.requests.count("GET /metrics")

    show(page, "Live")
    page.get_by_text("Read 2 times.").wait_for()
    with served.client() as client:
        files = [("a", letter("01", 1)[0].read_bytes()), ("b", letter("01", 2)[0].read_bytes())]
        for _ in range(20):
            client.post("/verify", files=files).raise_for_status()
    for heading in ("Requests a second", "p50 by stage", "p99 by stage", "Outcomes", "Drift"):
        plot = page.locator("section").filter(has=page.get_by_role("heading", name=heading))
        plot.get_by_role("img").first.wait_for()
        plot.get_by_text("Figures").click()
    page.get_by_role("columnheader", name="encode").first.wait_for()
    rates = page.get_by_role("region", name="Figures: Requests a second").get_by_role("cell")
    assert max(float(each) for each in rates.all_inner_texts() if each != "–") > 1

    press(page, "Pause")
    page.get_by_text("Paused.").wait_for()
    paused = reads()
    page.wait_for_timeout(3000)
    assert reads() == paused
    with page.expect_request("**/metrics"):
        press(page, "Pause")

    page.evaluate(
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    hidden = reads()
    page.wait_for_timeout(3000)
    assert reads() == hidden
    with page.expect_request("**/metrics"):
        page.evaluate(
            "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))"
        )
    show(page, "Overview")
    left = reads()
    page.wait_for_timeout(3000)
    assert reads() == left
