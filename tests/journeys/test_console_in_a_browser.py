"""The console as people use it: in a real browser, by the names that its controls have."""

import re
import shutil

import pytest

from tests.browser import VIEWS, choose, drop, installed, opened, paste, press, show, status
from tests.bundles import make_bundle
from tests.drawings import draw, part
from tests.keys import bearing, entry, secret, write
from tests.services import Service
from tests.text_bundles import make_text_bundle
from tests.two_sided_bundles import make_two_sided_bundle, name_of

pytestmark = pytest.mark.slow

SCRIPT = "<img src=x onerror=document.title=1>"


DRAWN = {"name": "drawn", "keep_samples": True}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    installed()
    root = tmp_path_factory.mktemp("console")
    make_bundle(root / "bundles", cohort=400, dimension=32, card=SCRIPT)
    make_two_sided_bundle(root / "bundles")
    make_text_bundle(root / "bundles")
    service = Service(root / "var", root / "bundles", default_comparator="tiny")
    yield service.start(timeout=300).wait_ready()
    assert service.stop() == 0


@pytest.fixture(scope="module")
def drawn(served):
    """A gallery of 50, filled by calls."""
    with served.client() as client:
        assert client.post("/galleries", json=DRAWN).status_code == 201
        for i in range(50):
            fields = {"gallery": "drawn", "identity": f"c{i}"}
            if i == 7:
                fields["metadata"] = f'{{"note": "{SCRIPT}"}}'
            files = [part(draw(i, take)) for take in (1, 2)]
            assert client.post("/enroll", data=fields, files=files).status_code == 201
    return "drawn"


@pytest.fixture
def tab(served):
    with opened(f"{served.url}/console/") as tab:
        yield tab
        tab.demand_quiet()


@pytest.fixture
def files(tmp_path):
    """Make files of drawings: (character, take) by name."""

    def made(**named):
        paths = []
        for name, content in named.items():
            path = tmp_path / f"{name}.png"
            path.write_bytes(draw(*content) if isinstance(content, tuple) else content)
            paths.append(path)
        return paths

    return made


def test_every_view_opens_and_asks_nobody_else(tab):
    for view in VIEWS:
        show(tab.page, view)
        tab.page.wait_for_load_state("networkidle")
        unnamed = tab.page.locator("input:not([aria-label]):not(label input)").count()
        assert unnamed == 0, view


def test_from_an_empty_gallery_to_a_match_an_unknown_and_a_receipt(tab, files, tmp_path):
    page = tab.page
    for name, character in (("ada", 500), ("bea", 501)):
        (tmp_path / "people" / name).mkdir(parents=True)
        for take in (1, 2):
            (tmp_path / "people" / name / f"{take}.png").write_bytes(draw(character, take))
    (tmp_path / "people" / "ada" / f"{SCRIPT}.png").write_bytes(b"no picture")
    page.get_by_role("heading", name="Nobody is enrolled yet").wait_for()

    press(page, "Enroll the first")
    page.get_by_label("Folder", exact=True).set_input_files(tmp_path / "people")
    page.get_by_role("button", name="Enroll 5 samples of 2 identities").wait_for()
    assert not [request for request in tab.requests if request.startswith("POST")]
    press(page, "Enroll 5 samples of 2 identities")
    assert status(page, "Enrolled") == "Enrolled: 4 samples added, 1 refused."
    page.get_by_text(f"{SCRIPT}.png: refused. A sample cannot be decoded.").wait_for()

    show(page, "Identify")
    page.get_by_label("Samples", exact=True).set_input_files(files(own=(500, 3), other=(900, 0)))
    press(page, "Identify")
    told = status(page, "Match")
    assert "Match ada" in told
    assert "Unknown" in told
    assert "Nobody enrolled comes close enough. Nearest is" in told

    show(page, "Gallery")
    page.get_by_label("Part of a name").fill("AD")
    press(page, "Search")
    page.get_by_text("1 identity shown, no more, of 2 looked through.").wait_for()
    press(page, "Forget ada")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    press(page, "Forget ada")
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    assert "the record in the store" in status(page, "Forgotten")

    show(page, "Identify")
    press(page, "Identify")
    assert "Match" not in status(page, "Unknown")
    assert page.title() == "Identify · Kindred"  # no name or file ran as a script


def test_two_samples_are_compared_at_the_rate_that_is_chosen(tab, files):
    page = tab.page
    show(page, "Verify")
    page.get_by_label("Comparator", exact=True).select_option("tiny@1")
    page.get_by_label("First sample").set_input_files(files(a=(1, 1)))
    press(page, "Verify")
    page.get_by_text("Choose a first and a second sample.").wait_for()
    page.get_by_label("Second sample").set_input_files(files(b=(1, 2)))
    press(page, "Verify")
    same = status(page, "Same")
    page.get_by_label("Second sample").set_input_files(files(b=(2, 1)))
    press(page, "Verify")
    assert status(page, "Different")

    page.get_by_label("False matches").select_option(index=1)
    page.get_by_label("Second sample").set_input_files(files(b=(1, 2)))
    press(page, "Verify")
    needed = re.compile(r"the same needs ([\d.]+)")
    assert needed.search(status(page, "Same"))[1] != needed.search(same)[1]


def test_a_drawing_is_identified_and_enrolled_without_any_file(tab, drawn):
    page = tab.page
    show(page, "Identify")
    choose(page, drawn)
    press(page, "Draw")
    press(page, "Use the drawing")
    page.get_by_text("Draw something first.").wait_for()
    pad = page.get_by_role("img", name="Drawing pad").bounding_box()
    page.mouse.move(pad["x"] + 40, pad["y"] + 40)
    page.mouse.down()
    page.mouse.move(pad["x"] + 200, pad["y"] + 220, steps=8)
    page.mouse.up()
    press(page, "Use the drawing")
    press(page, "Identify")
    assert "needs" in status(page, "(Unknown|Possible|Match)")

    page.get_by_role("button", name=re.compile("^Enroll it as")).click()
    page.get_by_label("Identity of row 1").fill("stroke")
    press(page, "Enroll 1 sample of 1 identity")
    assert status(page, "Enrolled") == "Enrolled: 1 sample added."


def test_what_is_dropped_into_a_box_is_compared_and_beside_it_changes_nothing(tab, files):
    page = tab.page
    show(page, "Verify")
    first = page.get_by_role("group", name="First sample")
    second = page.get_by_role("group", name="Second sample")
    left, right, other = files(left=(1, 1), right=(1, 2), other=(2, 1))

    page.evaluate("addEventListener('drop', (event) => { globalThis.at = event; })")
    drop(page, page.get_by_role("heading", level=1), left)
    assert page.evaluate("at.defaultPrevented")  # or else the file is opened in place of the page
    press(page, "Verify")
    page.get_by_text("Choose a first and a second sample.").wait_for()
    drop(page, first, left)
    drop(page, second, right)
    press(page, "Verify")
    assert status(page, "Same")

    drop(page, second, right, other)  # a box of one sample keeps the last
    press(page, "Verify")
    assert status(page, "Different")


def test_files_and_folders_that_are_dropped_are_enrolled(tab, served, files, tmp_path):
    page = tab.page
    with served.client() as client:
        assert client.post("/galleries", json={"name": "dropped"}).status_code == 201
    for name, character in (("ada", 600), ("bea", 601)):
        (tmp_path / "people" / name).mkdir(parents=True)
        (tmp_path / "people" / name / "1.png").write_bytes(draw(character, 1))
    (tmp_path / "people" / "beside.png").write_bytes(draw(602))
    show(page, "Enroll")
    choose(page, "dropped")
    box = page.get_by_role("group", name="Samples")

    drop(page, box, *files(one=(603, 1), two=(603, 2), three=(603, 3)))
    page.get_by_label("Identity of row 1").fill("cyd")
    drop(page, box, tmp_path / "people")
    press(page, "Enroll 5 samples of 3 identities")

    assert status(page, "Enrolled") == "Enrolled: 5 samples added."
    page.get_by_text("beside the folders of identities: beside.png").wait_for()
    with served.client() as client:
        listed = client.get("/galleries/dropped/identities").json()["items"]
    counted = {each["identity"]: len(each["samples"]) for each in listed}
    assert counted == {"ada": 1, "bea": 1, "cyd": 3}


def test_pictures_are_pasted_into_the_box_that_is_empty_and_so_identified(tab, drawn):
    page = tab.page
    show(page, "Verify")
    for take in (1, 2):
        paste(page, draw(3, take))
        page.get_by_role("button", name="Remove image.png").nth(take - 1).wait_for()
    press(page, "Verify")
    assert status(page, "Same")

    show(page, "Identify")
    choose(page, drawn)
    paste(page, draw(3, 3))
    page.get_by_role("button", name="Remove image.png").wait_for()
    press(page, "Identify")
    assert "Match c3" in status(page, "Match")


@pytest.mark.parametrize(
    ("field", "words"), [("Samples", ""), ("Samples", "5"), ("Strangers", "")]
)
def test_a_picture_is_taken_where_no_words_are_pasted_into_a_field(tab, field, words):
    page = tab.page
    show(page, "Identify")
    page.get_by_label(field).first.focus()

    paste(page, draw(1), words)

    page.get_by_role("button", name="Remove image.png").wait_for()


def test_words_that_are_pasted_into_a_field_bring_no_picture(tab):
    page = tab.page
    show(page, "Identify")
    field = page.get_by_label("Strangers")
    field.focus()

    paste(page, draw(1), "5")

    page.wait_for_function("(field) => field.value === '5'", arg=field.element_handle())
    assert page.get_by_role("button", name="Remove image.png").count() == 0


def test_the_slider_shows_what_identifying_then_answers(tab, files, drawn):
    page = tab.page
    show(page, "Threshold")
    choose(page, drawn)
    slider = page.get_by_role("slider", name="Strangers that may be named")
    slider.wait_for()
    slider.fill("0")
    assert "it would take a cohort of 999 strangers" in status(page, "0.1 %")
    slider.focus()
    while slider.get_attribute("aria-valuetext") != "10\u00a0%":
        page.keyboard.press("ArrowRight")
    shown = status(page, "10 %")

    press(page, "Identify at 10\u00a0%")
    page.get_by_label("Samples", exact=True).set_input_files(files(one=(3, 3)))
    press(page, "Identify")
    told = status(page, "Match")
    for figure, words in (
        (r"A match needs ([\d.]+)", "a match needs {}."),
        (r"Strangers really named (.*? in 95 % of cases)", "really {}"),
        (r"Enrolled that are missed (.*? in 95 % of cases)$", "threshold misses {}"),
    ):
        assert words.format(re.search(figure, shown)[1]) in told


def test_who_is_nearest_to_the_threshold_follows_the_slider_and_is_reached_by_keys(
    tab, served, drawn
):
    page = tab.page
    show(page, "Threshold")
    choose(page, drawn)
    slider = page.get_by_role("slider", name="Strangers that may be named")
    slider.wait_for()
    slider.focus()
    near = page.get_by_role("region", name="Nearest to the threshold")

    for words, target in (("10\u00a0%", 0.1), ("20\u00a0%", 0.2)):
        while slider.get_attribute("aria-valuetext") != words:
            page.keyboard.press("ArrowRight")
        near.and_(page.locator("[aria-busy=false]")).wait_for()
        with served.client() as client:
            asked = {"target_fpir": target, "limit": 6}
            path = f"/galleries/{drawn}/operating-curve/boundary"
            found = client.get(path, params=asked).json()
        for heading, trials in (
            ("Enrolled, just found", found["enrolled"]["above"]),
            ("Enrolled, just missed", found["enrolled"]["below"]),
            ("Strangers, just named", found["strangers"]["above"]),
            ("Strangers, just not named", found["strangers"]["below"]),
        ):
            part_of = near.locator("div").filter(
                has=page.get_by_role("heading", name=heading, exact=True)
            )
            shown = part_of.last.get_by_role("listitem").all_inner_texts()
            assert len(shown) == len(trials)
            for text, trial in zip(shown, trials, strict=True):
                assert f"{trial['score']:.3f}" in text
                assert (trial["identity"] or f"Stranger {trial['stranger']}") in text
                assert trial.get("nearest", "") in text

    pictures = near.locator("img")
    pictures.first.wait_for()
    assert pictures.first.evaluate("(one) => one.decode().then(() => one.naturalWidth)") > 1
    name = found["enrolled"]["above"][0]["identity"]
    near.get_by_role("button", name=name, exact=True).first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("rowheader", name=name, exact=True).wait_for()


def test_metadata_is_shown_as_it_is_and_galleries_are_made_and_deleted(tab, drawn):
    page = tab.page
    show(page, "Gallery")
    choose(page, drawn)
    page.get_by_text(f"note: {SCRIPT}").wait_for()
    page.get_by_text("New gallery").click()
    page.get_by_label("Name", exact=True).fill("passing")
    press(page, "Make the gallery")
    assert status(page, "Made gallery passing")
    press(page, "Delete this gallery")
    sure = page.get_by_role("button", name="Delete the gallery")
    assert sure.is_disabled()
    page.get_by_label("Type passing to go on").fill("passing")
    sure.click()
    assert status(page, "Deleted gallery passing")
    assert page.title() == "Gallery · Kindred"


def test_words_are_typed_where_the_comparator_takes_words(tab, served):
    page = tab.page
    with served.client() as client:
        assert client.post(
            "/galleries", json={"name": "signs", "comparator": "signs", "references": "b"}
        ).is_success
        for sign in range(3):
            fields = {"gallery": "signs", "identity": name_of(sign)}
            assert client.post("/enroll", data=fields, files=[part(draw(sign))]).is_success
    page.reload()
    show(page, "Identify")
    choose(page, "signs")
    assert page.get_by_label("Samples", exact=True).count() == 0  # no file holds words here
    page.get_by_label("Text, one sample a line").fill(f"{name_of(1)}\n\n{name_of(250)}\n")
    press(page, "Identify")
    told = status(page, "Match")
    assert f"Match {name_of(1)}" in told
    assert "Unknown" in told


@pytest.fixture
def doubtful(served):
    """A gallery with one sample under a wrong name, and one character under two names."""
    with served.client() as client:
        client.post("/galleries", json={"name": "doubtful"}).raise_for_status()
        people = {f"c{i}": [(i, take) for take in range(1, 5)] for i in range(24)}
        people["twin"] = [(5, take) for take in range(5, 9)]
        for name, drawings in [*people.items(), ("c4", [(9, 9)])]:
            files = [part(draw(*each)) for each in drawings]
            fields = {"gallery": "doubtful", "identity": name}
            assert client.post("/enroll", data=fields, files=files).status_code == 201
        yield "doubtful"
        client.delete("/galleries/doubtful").raise_for_status()


def test_what_seems_wrong_is_gone_through_by_keys_set_right_and_undone(tab, served, doubtful):
    def samples():
        with served.client() as client:
            page = client.get(f"/galleries/{doubtful}/identities").json()["items"]
        return {each["identity"]: len(each["samples"]) for each in page}

    page = tab.page
    page.reload()
    show(page, "Health")
    choose(page, doubtful)
    press(page, "Check")
    assert status(page, "2 things to look at")
    queue = page.get_by_role("group", name="To review")
    assert queue.evaluate("(queue) => document.activeElement === queue")
    queue.get_by_role("button", name="Move it to c9").wait_for()

    page.keyboard.press("x")
    queue.get_by_text("2 of 2").wait_for()
    queue.get_by_role("button", name="Merge twin into c5").wait_for()
    page.keyboard.press("ArrowLeft")
    queue.get_by_text("Dismissed.").wait_for()
    page.get_by_text("All 2, 1 of them open").wait_for()
    page.keyboard.press("x")
    queue.get_by_text("Dismissed.").wait_for(state="detached")
    page.keyboard.press("Enter")
    status(page, "Moved 1 sample of c4 to c9")
    queue.get_by_text("Done.").wait_for()
    assert (samples()["c4"], samples()["c9"]) == (4, 5)

    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    status(page, "Merged twin into c5")
    assert samples()["c5"] == 8
    page.get_by_role("status").get_by_role("button", name="Undo").click()
    status(page, "Undone")
    assert samples()["twin"] == 4
    queue.get_by_text("Done.").wait_for(state="detached")
    queue.get_by_role("button", name="Show twin").click()
    page.get_by_role("rowheader", name="twin", exact=True).wait_for()


def test_a_card_is_shown_as_the_text_that_it_is(tab, served):
    page = tab.page
    show(page, "Comparators")
    page.get_by_text("Card of tiny@1", exact=True).focus()
    page.keyboard.press("Enter")

    card = page.get_by_role("region", name="Card of tiny@1")
    card.filter(has_text=SCRIPT).wait_for()

    with served.client() as client:
        told = client.get("/comparators/tiny").json()["card"]
        listed = client.get("/comparators").json()["comparators"]
    assert card.inner_text() == told.rstrip("\n") or card.inner_text() == told
    assert card.locator("*").count() == 0
    assert page.title() == "Comparators · Kindred"
    assert not any("card" in each for each in listed)


def test_what_goes_wrong_is_told_with_what_to_do(tab, files, drawn):
    page = tab.page
    show(page, "Identify")
    choose(page, drawn)
    page.get_by_label("Samples", exact=True).set_input_files(files(one=(3, 3)))
    page.get_by_label("Strangers that may be named").fill("0.1")
    press(page, "Identify")
    page.get_by_role("alert").filter(has_text="Ask for a higher rate").wait_for()
    page.get_by_label("Strangers that may be named").fill("")
    page.context.set_offline(True)
    press(page, "Identify")
    page.get_by_role("alert").filter(has_text="The service does not answer").wait_for()
    page.context.set_offline(False)
    press(page, "Identify")
    assert "Match c3" in status(page, "Match")
    tab.complaints[:] = [each for each in tab.complaints if "INTERNET_DISCONNECTED" not in each]


def test_a_key_that_is_told_decisions_only_is_enough_to_identify(tmp_path, served, drawn, files):
    bundles = shutil.copytree(served.data_dir.parent / "bundles", tmp_path / "bundles")
    keys = write(tmp_path / "keys.toml", entry("root", "administer"), entry("door", "decide"))
    guarded = Service(tmp_path / "var", bundles, keys_file=keys, default_comparator="tiny")
    guarded.start(timeout=300).wait_ready()
    try:
        with guarded.client(headers=bearing("root")) as root:
            for i in range(12):
                files_of = [part(draw(i, take)) for take in (1, 2)]
                fields = {"identity": f"c{i}"}
                assert root.post("/enroll", data=fields, files=files_of).is_success
        with opened(f"{guarded.url}/console/#identify") as tab:
            page = tab.page
            page.get_by_label("API key", exact=True).fill("wrong")
            press(page, "Use it")
            page.get_by_text("This key does not open the service.").wait_for()
            page.get_by_label("API key", exact=True).fill(secret("door"))
            press(page, "Use it")
            page.get_by_text("API key (set)").wait_for()
            page.get_by_label("Samples", exact=True).set_input_files(files(one=(3, 3)))
            press(page, "Identify")
            told = status(page, "Match")
            assert "Match c3" in told
            assert "This key is told decisions only" in told
            assert page.evaluate("document.cookie + localStorage.length") == "0"
            tab.demand_quiet()
    finally:
        assert guarded.stop() == 0


def test_the_page_of_every_call_works_offline_and_uploads_files(served):
    with opened(f"{served.url}/docs") as tab:
        page = tab.page
        page.locator("#operations-default-identify").get_by_text("/identify").click()
        page.get_by_role("button", name="Try it out").click()
        operation = page.locator("#operations-default-identify")
        operation.locator(".opblock-section-request-body select").first.select_option(
            "multipart/form-data"
        )
        operation.locator("input[type=file]").first.wait_for()
        tab.demand_quiet()


@pytest.mark.parametrize("width", [360, 320])
def test_nothing_is_wider_than_a_small_screen(served, drawn, width):
    with opened(
        f"{served.url}/console/", viewport={"width": width, "height": 700}, color_scheme="dark"
    ) as tab:
        for view in VIEWS:
            show(tab.page, view)
            tab.page.wait_for_load_state("networkidle")
            too_wide = tab.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert too_wide <= 0, view
        tab.demand_quiet()
