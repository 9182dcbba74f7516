"""The map in a real browser: samples selected in every way, moved, split, forgotten, undone."""

import json

import pytest

from tests.browser import choose, installed, opened, press, show, status
from tests.bundles import make_bundle
from tests.drawings import draw, part
from tests.services import Service

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    installed()
    root = tmp_path_factory.mktemp("mapping")
    make_bundle(root / "bundles", cohort=400, dimension=32)
    service = Service(root / "var", root / "bundles")
    yield service.start(timeout=300).wait_ready()
    assert service.stop() == 0


def make(served, name):
    with served.client() as client:
        client.post("/galleries", json={"name": name, "keep_samples": True})
        for i in range(8):
            enroll(client, name, f"c{i}", [(i, take) for take in (1, 2, 3)])
        enroll(client, name, "d3", [(3, 4), (3, 5), (5, 6)])
    return name


@pytest.fixture
def drawn(served, request):
    """A gallery of eight that keeps samples; d3 is c3, and one of its samples c5."""
    return make(served, f"drawn-{abs(hash(request.node.nodeid)) % 10**8}")


@pytest.fixture(scope="module")
def looked_at(served):
    """The same, which no test changes."""
    return make(served, "looked-at")


def enroll(client, gallery, identity, drawings):
    files = [part(draw(*each)) for each in drawings]
    fields = {"gallery": gallery, "identity": identity}
    assert client.post("/enroll", data=fields, files=files).status_code == 201


@pytest.fixture
def tab(served):
    with opened(f"{served.url}/console/", viewport={"width": 1100, "height": 1400}) as tab:
        yield tab
        tab.demand_quiet()


def enrolled(served, gallery):
    with served.client() as client:
        page = client.get(f"/galleries/{gallery}/identities").json()["items"]
    return {each["identity"]: len(each["samples"]) for each in page}


def look(page, gallery):
    """Look at the map of a gallery until it is done."""
    show(page, "Map")
    choose(page, gallery)
    page.get_by_role("status").filter(has_text="Laid out by neighbours.").wait_for()


def box_of(page):
    return page.locator("#plot").bounding_box()


def corners(page):
    """The four corners of the plot, a little inside."""
    at = box_of(page)
    left, top = at["x"] + 4, at["y"] + 4
    right, bottom = left + at["width"] - 8, top + at["height"] - 8
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def test_from_a_selection_by_name_samples_are_moved_and_moved_back(tab, served, drawn):
    page = tab.page
    look(page, drawn)
    table = page.get_by_role("region", name="Samples on the map")
    whose = page.get_by_role("cell", name="d3", exact=True)
    odd = table.get_by_role("row").filter(has=whose).filter(has_text="c5")

    odd.filter(has_text="would be named as somebody else").get_by_role("checkbox").check()
    assert "1 sample selected, of d3 (1)" in status(page, "1 sample selected")
    page.get_by_label("Whose they are, new or known").fill("c5")
    press(page, "Move 1 sample to c5")
    status(page, "Moved 1 sample to c5")
    assert enrolled(served, drawn)["c5"] == 4

    page.get_by_role("status").get_by_role("button", name="Undo").click()
    status(page, "Undone")
    assert enrolled(served, drawn) == {f"c{i}": 3 for i in range(8)} | {"d3": 3}


def test_a_line_around_samples_and_a_box_by_two_clicks_select_them(tab, served, looked_at):
    page = tab.page
    look(page, looked_at)
    first, *others = corners(page)

    page.mouse.move(*first)
    page.mouse.down()
    for corner in (*others, first):
        page.mouse.move(*corner, steps=3)
    page.mouse.up()
    status(page, "27 samples selected")
    page.locator("#plot").focus()
    page.keyboard.press("Escape")
    status(page, "Nothing is selected")

    page.get_by_label("Box by two clicks").check()
    page.mouse.click(*first)
    page.mouse.click(*others[1])
    status(page, "27 samples selected")
    press(page, "Clear the selection")
    status(page, "Nothing is selected")


def test_a_legend_entry_and_its_cluster_are_selected_and_merged(tab, served, drawn):
    page = tab.page
    look(page, drawn)
    page.get_by_label("Colour by").select_option("identity")
    press(page, "Select d3: 3 samples")
    status(page, "3 samples selected, of d3")
    press(page, "Select its cluster")
    assert "c3 (3)" in status(page, "9 samples selected")
    press(page, "Clear the selection")

    press(page, "Select d3: 3 samples")
    assert page.get_by_role("button", name="Select its identity").is_disabled()
    page.get_by_label("Whose they are, new or known").fill("c3")
    press(page, "Move 3 samples to c3")
    status(page, "Moved 3 samples to c3")
    assert enrolled(served, drawn)["c3"] == 6

    page.get_by_role("status").get_by_role("button", name="Undo").click()
    status(page, "Undone")
    assert enrolled(served, drawn)["d3"] == 3


def test_too_many_to_merge_are_told_as_such(tab, served, tmp_path):
    with served.client() as client:
        client.post("/galleries", json={"name": "crowded"})
        for i in range(21):
            enroll(client, "crowded", f"c{i:02}", [(i, 1)])
    page = tab.page
    look(page, "crowded")
    press(page, "Select the only one of its identity: 21 samples")

    merge = page.get_by_role("button", name="Merge 21 identities into c00")
    merge.focus()
    page.keyboard.press("Enter")
    page.screenshot(path=tmp_path / "too-many.png", full_page=True)
    why = "At most 20 identities are merged at a time; samples of 21 are selected."
    assert merge.get_attribute("aria-disabled") == "true"
    assert page.locator(f"#{merge.get_attribute('aria-describedby')}").inner_text() == why
    assert len(enrolled(served, "crowded")) == 21

    page.get_by_role("region", name="Samples on the map").get_by_role("checkbox").last.uncheck()
    page.get_by_text(why).wait_for(state="detached")
    assert merge.count() == 0
    page.get_by_role("button", name="Merge 20 identities into c00").click()
    status(page, "Merged c01, c02")
    assert len(enrolled(served, "crowded")) == 2


def test_by_keys_alone_a_sample_is_found_split_off_and_forgotten(tab, served, drawn):
    page = tab.page
    look(page, drawn)
    page.locator("#plot").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("would be named as", exact=False).first.wait_for()
    page.keyboard.press("Enter")
    told = status(page, "1 sample selected")
    name = told.split("of ")[1].split(" ")[0]
    assert enrolled(served, drawn)[name] == 3

    split = page.get_by_role("button", name=f"Split off as {name}-2")
    split.focus()
    page.keyboard.press("Enter")
    status(page, "Split off 1 sample")
    assert enrolled(served, drawn)[f"{name}-2"] == 1

    press(page, "Forget 1 sample")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert enrolled(served, drawn)[f"{name}-2"] == 1
    press(page, "Forget 1 sample")
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    page.get_by_role("status").filter(has_text="Receipt: version").wait_for()
    status(page, "Nothing is selected")
    assert enrolled(served, drawn).get(f"{name}-2", 0) == 0


def test_what_is_selected_is_exported_as_ids(tab, served, looked_at):
    page = tab.page
    look(page, looked_at)
    entry = page.get_by_role("button", name="Select would be named as itself")
    count = int(entry.get_attribute("aria-label").split(": ")[1].split(" ")[0])
    entry.click()
    status(page, f"{count} samples selected")

    with page.expect_download() as download:
        press(page, "Export ids")

    rows = json.loads(download.value.path().read_text())
    assert len(rows) == count > 15
    assert {row["gallery"] for row in rows} == {looked_at}
    assert len({row["sample"] for row in rows}) == count


def test_a_click_selects_a_sample_and_zooming_shows_its_picture(tab, served, looked_at):
    page = tab.page
    look(page, looked_at)
    page.get_by_label("Lines between look-alikes").uncheck()
    page.locator("#plot").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    told = status(page, "1 sample selected")
    for _ in range(8):
        press(page, "Zoom in")
    at = box_of(page)
    page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)

    assert status(page, "1 sample selected") == told
    assert [request for request in tab.requests if request.endswith("/preview")]


@pytest.mark.parametrize("width", [1000, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_map_fits_on_any_screen_and_its_controls_are_named(
    served, looked_at, width, scheme, tmp_path
):
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with opened(f"{served.url}/console/#map", **options) as tab:
        page = tab.page
        choose(page, looked_at)
        page.get_by_role("status").filter(has_text="Laid out by neighbours.").wait_for()
        page.screenshot(path=tmp_path / f"map-{width}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        unnamed = page.locator("input:not([aria-label]):not(label input)")
        assert unnamed.count() == 0
        assert page.get_by_role("application").get_attribute("aria-label").startswith("Map of 27")
        tab.demand_quiet()
