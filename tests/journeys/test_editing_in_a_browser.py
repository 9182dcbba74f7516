"""The console as people use it to mend a gallery: every act undone, every answer judged."""

import re

import pytest

from tests.browser import choose, installed, opened, press, show, status
from tests.bundles import make_bundle
from tests.drawings import draw, part
from tests.services import Service

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    installed()
    root = tmp_path_factory.mktemp("editing")
    make_bundle(root / "bundles", cohort=400, dimension=32)
    service = Service(root / "var", root / "bundles")
    yield service.start(timeout=300).wait_ready()
    assert service.stop() == 0


@pytest.fixture
def drawn(served, request):
    """A gallery of twelve that keeps samples; c3 and its double d3 are one character."""
    name = f"drawn-{abs(hash(request.node.nodeid)) % 10**8}"
    with served.client() as client:
        client.post("/galleries", json={"name": name, "keep_samples": True})
        for i in range(12):
            enroll(client, name, f"c{i}", [(i, 1), (i, 2)])
        enroll(client, name, "d3", [(3, 3), (3, 4), (11, 5)])
    return name


def enroll(client, gallery, identity, drawings):
    files = [part(draw(*each)) for each in drawings]
    fields = {"gallery": gallery, "identity": identity}
    assert client.post("/enroll", data=fields, files=files).status_code == 201


@pytest.fixture
def tab(served):
    with opened(f"{served.url}/console/") as tab:
        yield tab
        tab.demand_quiet()


def names(served, gallery):
    with served.client() as client:
        page = client.get(f"/galleries/{gallery}/identities").json()["items"]
    return {each["identity"]: len(each["samples"]) for each in page}


def test_the_most_alike_is_offered_first_merged_and_undone(tab, served, drawn):
    page = tab.page
    show(page, "Gallery")
    choose(page, drawn)

    press(page, "Edit d3")
    alike = page.get_by_role("button", name="c3 ", exact=False).first
    alike.wait_for()
    assert page.locator(".edit ul.row button").first.inner_text().startswith(("c3 ", "c11 "))
    page.get_by_label("Merge d3 into").fill("c3")
    press(page, "Merge")
    assert status(page, "Merged d3 into c3").endswith("Undo")
    assert names(served, drawn)["c3"] == 5
    assert "d3" not in names(served, drawn)

    page.get_by_role("status").get_by_role("button", name="Undo").click()
    status(page, "Undone")
    page.get_by_role("rowheader", name="d3", exact=True).wait_for()
    assert names(served, drawn)["d3"] == 3


def test_who_is_renamed_is_renamed_back_from_the_list_of_what_can_be_undone(tab, served, drawn):
    page = tab.page
    show(page, "Gallery")
    choose(page, drawn)

    press(page, "Edit c7")
    page.get_by_label("New name of c7").fill("sieben <b>")
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("alert").wait_for()  # a name that the service refuses is told
    page.get_by_label("New name of c7").fill("sieben")
    page.get_by_role("button", name="Rename").click()
    status(page, "Renamed c7 to sieben")
    page.get_by_role("rowheader", name="sieben", exact=True).wait_for()

    page.get_by_text("What can be undone (1)").click()
    page.get_by_text("c7 was renamed to sieben").wait_for()
    page.get_by_role("button", name="Undo version").click()
    page.get_by_role("rowheader", name="c7", exact=True).wait_for()
    assert names(served, drawn)["c7"] == 2


def test_samples_are_seen_chosen_and_moved(tab, served, drawn):
    page = tab.page
    show(page, "Gallery")
    choose(page, drawn)

    press(page, "Edit d3")
    samples = page.get_by_role("group", name="Samples of d3")
    samples.locator("img").nth(2).wait_for()  # each is shown as the service keeps it
    move = page.get_by_role("button", name="Move", exact=False)
    assert move.is_disabled()
    samples.get_by_role("checkbox").nth(2).check()
    page.get_by_label("Move them to, new or known").fill("c11")
    press(page, "Move 1 sample")
    status(page, "Moved 1 sample of d3 to c11")

    assert names(served, drawn)["c11"] == 3
    assert names(served, drawn)["d3"] == 2


def test_an_answer_is_confirmed_another_rejected_and_taken_back(tab, served, drawn, tmp_path):
    page = tab.page
    path = tmp_path / "probe.png"
    path.write_bytes(draw(5, 9))
    show(page, "Identify")
    choose(page, drawn)
    page.get_by_label("Samples", exact=True).set_input_files(path)
    press(page, "Identify")
    assert "Match c5" in status(page, "Match")
    page.locator(".references img").first.wait_for()

    press(page, "Yes, it is c5")
    status(page, "Enrolled as c5")
    assert names(served, drawn)["c5"] == 3

    path.write_bytes(draw(6, 9))
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Samples", exact=True).set_input_files(path)
    press(page, "Identify")
    status(page, "Match c6")
    press(page, "No, not c6")
    status(page, "Remembered")
    press(page, "Identify")
    assert "it was said that it is not c6" in status(page, "Unknown")

    show(page, "Gallery")
    page.get_by_text("What can be undone (1)").click()
    press(page, "Take back that it is not c6")
    status(page, "Taken back")
    show(page, "Identify")
    press(page, "Identify")
    status(page, "Match c6")


def test_a_rate_that_is_made_the_default_is_what_the_gallery_then_answers_by(tab, served, drawn):
    page = tab.page
    show(page, "Threshold")
    choose(page, drawn)
    slider = page.get_by_role("slider", name="Strangers that may be named")
    slider.wait_for()
    assert page.get_by_role("button", name="Make 5\u00a0% the default").is_disabled()
    slider.focus()
    while slider.get_attribute("aria-valuetext") != "10\u00a0%":
        page.keyboard.press("ArrowRight")

    press(page, "Make 10\u00a0% the default")
    status(page, "From now on at most 10 %")
    status(page, "10 % as this gallery has it")

    def target():
        with served.client() as client:
            return client.get(f"/galleries/{drawn}").json()["target_fpir"]

    assert target() == 0.1
    press(page, "Undo")
    slider.focus()
    status(page, "10 %")
    page.get_by_role("button", name="Make 10\u00a0% the default").wait_for()
    page.wait_for_load_state("networkidle")
    assert target() == 0.05


def use(page, name, role="button"):
    """Use a control by keys."""
    page.get_by_role(role, name=name).first.focus()
    page.keyboard.press("Enter")


def demand_focus_on(page, told):
    """Wait until the focus is on what is told of an edit."""
    place = page.locator("[role=status]:focus").filter(has_text=re.compile(told))
    place.wait_for(timeout=20_000)


def test_after_each_edit_by_keys_the_focus_is_on_what_is_told_of_it(tab, drawn, tmp_path):
    page = tab.page
    show(page, "Gallery")
    choose(page, drawn)

    use(page, "Edit d3")
    page.get_by_label("Merge d3 into").fill("c3")
    page.keyboard.press("Enter")
    demand_focus_on(page, "Merged d3 into c3")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # on the button that follows
    demand_focus_on(page, "Undone")
    use(page, "Forget c7")
    page.get_by_role("dialog").get_by_role("button", name="Forget").focus()
    page.keyboard.press("Enter")
    demand_focus_on(page, "Forgotten")
    use(page, "Edit c4")
    page.get_by_label("New name of c4").fill("vier")
    page.keyboard.press("Enter")
    demand_focus_on(page, "Renamed c4")
    page.get_by_text("What can be undone (1)").click()
    use(page, "Undo version")
    demand_focus_on(page, "Undone")

    show(page, "Threshold")
    slider = page.get_by_role("slider", name="Strangers that may be named")
    slider.focus()
    page.keyboard.press("ArrowRight")
    use(page, "Make")
    demand_focus_on(page, "From now on")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    demand_focus_on(page, "Undone")

    show(page, "Map")
    page.get_by_role("status").filter(has_text="Laid out by neighbours.").wait_for()
    page.get_by_role("region", name="Samples on the map").get_by_role("checkbox").first.focus()
    page.keyboard.press("Space")
    use(page, "Split off as")
    demand_focus_on(page, "Split off 1 sample")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    demand_focus_on(page, "Undone")

    path = tmp_path / "probe.png"
    path.write_bytes(draw(5, 9))
    show(page, "Identify")
    page.get_by_label("Samples", exact=True).set_input_files(path)
    use(page, "Identify")
    status(page, "Match c5")
    use(page, "No, not c5")
    demand_focus_on(page, "Remembered")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    demand_focus_on(page, "Taken back")


def test_where_a_control_goes_the_focus_stays_near(tab, drawn):
    page = tab.page
    show(page, "Identify")
    choose(page, drawn)
    files = page.get_by_label("Samples", exact=True)
    pictures = [("a.png", 1), ("b.png", 2)]
    files.set_input_files(
        [{"name": n, "mimeType": "image/png", "buffer": draw(9, take)} for n, take in pictures]
    )

    use(page, "Remove b.png")
    page.get_by_role("button", name="Remove a.png").and_(page.locator(":focus")).wait_for()
    page.keyboard.press("Enter")
    files.and_(page.locator(":focus")).wait_for()


def test_a_view_tells_of_what_was_done_in_it_only(tab, drawn):
    page = tab.page
    show(page, "Gallery")
    choose(page, drawn)
    press(page, "Edit d3")
    page.get_by_label("Merge d3 into").fill("c3")
    press(page, "Merge")
    status(page, "Merged d3 into c3")

    for view in ("Health", "Map", "Threshold"):
        show(page, view)
        page.wait_for_load_state("networkidle")
        assert page.get_by_text("Merged d3 into c3").count() == 0
        assert page.get_by_role("button", name="Undo").count() == 0
    show(page, "Gallery")
    assert status(page, "Merged d3 into c3").endswith("Undo")


@pytest.mark.parametrize("width", [1000, 320])
def test_the_controls_fit_on_any_screen_and_are_named(served, drawn, width, tmp_path):
    options = {"viewport": {"width": width, "height": 900}}
    with opened(f"{served.url}/console/#gallery", **options) as tab:
        page = tab.page
        choose(page, drawn)
        press(page, "Edit d3")
        page.locator(".edit img").nth(2).wait_for()
        page.screenshot(path=tmp_path / f"gallery-{width}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert page.locator("input:not([aria-label]):not(label input)").count() == 0
        tab.demand_quiet()
