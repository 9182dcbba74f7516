"""The console by keyboard, on a small screen, for those who hear it; and no control is dead."""

import json
import re
from functools import partial

import pytest

from tests.browser import (
    bring_axe,
    choose,
    installed,
    opened,
    press,
    show,
    status,
    violations,
)
from tests.controls import Walk
from tests.services import ROOT, Service

pytestmark = pytest.mark.slow

DRAWINGS = ROOT / "kindred" / "drawings"
FULL = ("letters", "walked")  # the first of which no test changes
CLIPBOARD = ["clipboard-write", "clipboard-read"]
FOCUSABLE = """() => {
    const stops = [...document.querySelectorAll(
        "a[href], button, input, select, textarea, summary, audio, [tabindex='0']",
    )].filter((each) => !each.disabled && each.checkVisibility()
        && (each.type !== "radio" || each.checked)); // the rest of a group by arrows
    const outlined = (each) => getComputedStyle(each).outlineStyle !== "none";
    globalThis.reached = [];
    document.onfocusin = ({ target }) => {
        if (!outlined(target) && !outlined(target.parentElement)) reached.push("not to be seen:");
        reached.push(target.outerHTML.slice(0, 150));
    };
    document.addEventListener("focusin", document.onfocusin);
    return stops.map((each) => each.outerHTML.slice(0, 150));
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    installed()
    root = tmp_path_factory.mktemp("everybody")
    service = Service(root / "var", ROOT / "models_store" / "bundles")
    service.start(timeout=300).wait_ready()
    with service.client() as client:
        for name in ("bare", *FULL):
            made = client.post("/galleries", json={"name": name, "keep_samples": True})
            made.raise_for_status()
        for i, folder in enumerate(sorted(DRAWINGS.glob("greek-*"))):
            for name, hands in ((f"letter-{i}", (1, 2, 3)), (f"again-{i}", (4, 5))):
                paths = [folder / f"{hand}.png" for hand in hands]
                files = [("files", (path.name, path.read_bytes())) for path in paths]
                for gallery in FULL:
                    fields = {"gallery": gallery, "identity": name}
                    assert client.post("/enroll", data=fields, files=files).status_code == 201
    yield service
    assert service.stop() == 0


def views(page):
    """Return the names of all views, as they stand in the navigation."""
    page.get_by_role("navigation").get_by_role("link").first.wait_for()
    found = page.get_by_role("navigation").get_by_role("link").all_inner_texts()
    return [name for name in found if name != "API"]


def letter(name, hand):
    return DRAWINGS / f"greek-{name}" / f"{hand}.png"


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"no picture")
    return path


def open_all(page):
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


def fill(page, view, broken):
    """Bring a view to where it shows a result, all of its parts and, where it can, an error."""
    match view:
        case "Verify":
            page.get_by_label("Comparator", exact=True).select_option("ink@1")
            page.get_by_label("First sample").set_input_files(letter("01", 1))
            page.get_by_label("Second sample").set_input_files(letter("01", 2))
            press(page, "Verify")
            status(page, "Same")
            page.get_by_role("button", name="Draw").first.click()
        case "Identify":
            page.get_by_label("Samples").set_input_files([letter("01", 5), broken])
            press(page, "Identify")
            status(page, "(Match|Possible|Unknown)")
            press(page, "Camera")
            status(page, "(This browser does not|There is no camera)")
        case "Enroll":
            if page.get_by_role("button", name="Clear the list").count():
                press(page, "Clear the list")  # of what another view gave it
            page.get_by_label("Samples").set_input_files([letter("01", 1), broken])
            page.get_by_label("Identity of row").fill("letter-0")
            page.get_by_role("button", name="Enroll 2").click()
            status(page, "Enrolled")
        case "Gallery":
            press(page, "Edit again-3")
            page.get_by_text("Most alike first").wait_for()
        case "Health":
            press(page, "Check")
            status(page, r"\d+ thing")
        case "Threshold":
            page.get_by_role("slider").wait_for()
            near = page.get_by_role("region", name="Nearest to the threshold")
            near.locator("img").first.wait_for()
        case "Comparators":
            open_all(page)
            page.get_by_text("Intended use").first.wait_for()
        case "Map":
            page.get_by_role("status").filter(has_text="Laid out by neighbours.").wait_for()
        case "Live":
            page.get_by_text("Read 2 times.").wait_for()


@pytest.mark.parametrize("width", [1200, 320])
def test_every_view_is_for_everybody_and_no_wider_than_its_screen(served, broken, width):
    with opened(f"{served.url}/console/", viewport={"width": width, "height": 700}) as tab:
        page = tab.page
        bring_axe(page)

        def demand(where):
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                assert (where, scheme, violations(page)) == (where, scheme, [])
            too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert (where, too_wide) <= (where, 0)

        for view in views(page):
            show(page, view)
            if page.get_by_label("Gallery", exact=True).count():
                choose(page, "bare")
            page.wait_for_load_state("networkidle")
            demand(f"{view}, empty")
            if page.get_by_label("Gallery", exact=True).count():
                choose(page, "letters")
                page.wait_for_load_state("networkidle")
            fill(page, view, broken)
            open_all(page)
            demand(f"{view}, filled")

        show(page, "Gallery")
        press(page, "Delete this gallery")
        page.get_by_role("dialog").wait_for()
        demand("a question")
        page.keyboard.press("Escape")
        press(page, "API key")
        show(page, "Identify")
        page.context.set_offline(True)
        press(page, "Identify")
        told = page.get_by_role("alert").filter(has_text="does not answer")
        told.first.wait_for()  # the page, which looks again by itself, may tell it as well
        demand("a problem")
        page.context.set_offline(False)
        tab.complaints[:] = [each for each in tab.complaints if "INTERNET_DISC" not in each]
        tab.demand_quiet()


FILLED = ("Verify", "Identify", "Threshold", "Health")  # others have a row for each of many


def test_each_control_is_reached_by_tab_in_the_order_it_stands_and_seen(served, broken):
    with opened(f"{served.url}/console/") as tab:
        page = tab.page
        for view in views(page):
            show(page, view)
            if page.get_by_label("Gallery", exact=True).count():
                choose(page, "letters" if view in FILLED else "bare")
                page.wait_for_load_state("networkidle")
            if view in FILLED:
                fill(page, view, broken)
            page.evaluate("document.querySelector('.skip').focus()")
            page.keyboard.press("Tab")
            page.keyboard.press("Shift+Tab")
            expected = page.evaluate(FOCUSABLE)
            assert len(expected) > 12
            for _ in expected[1:]:
                page.keyboard.press("Tab")
            reached = page.evaluate(
                "document.removeEventListener('focusin', document.onfocusin), reached"
            )
            assert (view, reached) == (view, expected[1:])
        tab.demand_quiet()


def test_two_samples_are_verified_by_keys_alone(served):
    with opened(f"{served.url}/console/") as tab:
        page = tab.page
        page.get_by_role("link", name="Verify").wait_for()
        page.on("filechooser", lambda chooser: None)  # or the first may open before it is heard

        def go_to(name):
            for _ in range(60):
                page.keyboard.press("Tab")
                if (
                    page.get_by_role("main")
                    .or_(page.get_by_role("navigation"))
                    .locator(":focus")
                    .and_(name)
                    .count()
                ):
                    return
            raise AssertionError(f"Tab does not lead to {name}")

        go_to(page.get_by_role("link", name="Verify"))
        page.keyboard.press("Enter")
        page.get_by_role("heading", level=1, name="Verify").wait_for()
        go_to(page.get_by_label("Comparator", exact=True))
        page.keyboard.type("ink")
        for label, hand in (("First sample", 1), ("Second sample", 2)):
            go_to(page.get_by_label(label))
            with page.expect_file_chooser() as chooser:
                page.keyboard.press("Enter")
            chooser.value.set_files(letter("04", hand))
        go_to(page.get_by_role("button", name="Verify"))
        page.keyboard.press("Space")
        status(page, "Same")
        tab.demand_quiet()


@pytest.mark.parametrize("gallery", ["bare", "walked"])
def test_no_control_is_dead(served, broken, gallery):
    with opened(f"{served.url}/console/", permissions=CLIPBOARD) as tab:
        walks = {}
        for view in views(tab.page):
            walks[view] = walk = Walk(tab, view, gallery)
            if gallery == "walked":
                walk.fill = partial(fill, view=view, broken=broken)
            walk.go_through()

        assert {view: walk.dead for view, walk in walks.items() if walk.dead} == {}
        assert {view: walk.seen for view, walk in walks.items() if len(walk.seen) < 3} == {}
        tab.demand_quiet()


DEAD = {
    "button": "<button>Dead button</button>",
    "checkbox": "<label><input type=checkbox> Dead checkbox</label>",
    "radio": "<label><input type=radio name=dead checked> Heard</label>"
    "<label><input type=radio name=dead> Dead radio</label>",
    "slider": "<label>Dead slider <input type=range></label>",
    "field": "<label>Dead field <input></label>",
    "area": "<label>Dead area <textarea></textarea></label>",
    "select": "<select aria-label='Dead select'><option>a<option>b</select>",
}
PLANT = """(markup) => {
    const place = Object.assign(document.createElement("div"), { innerHTML: markup });
    document.querySelector("main .lead").after(place);
}"""


def test_a_control_that_does_nothing_is_found_dead(served):
    with opened(f"{served.url}/console/", permissions=CLIPBOARD, bypass_csp=True) as tab:
        views(tab.page)
        walk = Walk(tab, "Threshold", "bare")
        walk.on_show = lambda page: page.evaluate(PLANT, "".join(DEAD.values()))

        walk.go_through()

        found = {kind for kind in DEAD for name in walk.dead if f"Dead {kind}" in name}
        assert found == set(DEAD)
        assert len(walk.dead) == len(DEAD)  # and none that is alive
        tab.demand_quiet()


def test_what_is_typed_is_what_is_sent(served):
    with opened(f"{served.url}/console/#enroll") as tab:
        page = tab.page
        choose(page, "bare")
        page.get_by_label("Samples").set_input_files(letter("08", 1))
        page.get_by_label("Identity of row 1").fill("theta")
        page.get_by_text("Metadata", exact=True).click()
        page.get_by_label("A JSON object").fill('{"sound": "th"}')
        press(page, "Enroll 1 sample of 1 identity")
        status(page, "Enrolled")
        with served.client() as client:
            theta = client.get("/galleries/bare/identities/theta").json()
            held = len(client.get("/galleries/bare/identities").json()["items"])
        assert theta["metadata"] == {"sound": "th"}
        assert len(theta["samples"]) == 1

        show(page, "Gallery")
        page.get_by_text("New gallery").click()
        form = page.locator("form").filter(has=page.get_by_role("button", name="Make the gallery"))
        form.get_by_label("Name", exact=True).fill("words")
        form.get_by_label("Comparator", exact=True).select_option("emoji@1")
        form.get_by_label("Strangers that may be named").fill("12")
        form.get_by_label("Enrolled are").select_option("a")
        form.get_by_label("Keep the samples").check()
        with page.expect_request(lambda request: request.method == "POST") as made:
            press(page, "Make the gallery")
        status(page, "Made gallery words")
        assert json.loads(made.value.post_data) == {
            "name": "words",
            "comparator": "emoji@1",
            "target_fpir": 0.12,
            "references": "a",
            "keep_samples": True,
        }
        page.get_by_label("Part of a name").fill("thet")
        choose(page, "bare")
        press(page, "Search")
        page.get_by_role("rowheader", name="theta", exact=True).wait_for()
        page.get_by_text(re.compile(f"of {held} looked through")).wait_for()
        with served.client() as client:
            client.delete("/galleries/words").raise_for_status()
            client.delete("/galleries/bare/identities/theta").raise_for_status()
        tab.demand_quiet()


def test_who_searches_again_before_the_answer_sees_each_identity_once(served):
    with opened(f"{served.url}/console/#gallery") as tab:
        page, held = tab.page, []
        choose(page, "letters")
        page.get_by_role("rowheader", name="letter-0", exact=True).wait_for()

        def hold(route):
            held.append(route)
            if len(held) == 2:
                for each in held:
                    each.continue_()

        page.route("**/identities?*", hold)
        page.get_by_label("Part of a name").fill("letter-0")
        press(page, "Search")
        press(page, "Search")

        status(page, "1 identity shown")
        assert page.get_by_role("rowheader", name="letter-0", exact=True).count() == 1
        tab.demand_quiet()
