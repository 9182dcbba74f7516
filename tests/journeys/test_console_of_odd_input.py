"""The console with long names, texts that look like options, and folders of other files too."""

import json
import shutil
import subprocess

import pytest

from tests.browser import VIEWS, choose, installed, opened, press, show, status
from tests.bundles import make_bundle
from tests.drawings import draw, part
from tests.services import Service
from tests.text_bundles import make_text_bundle

pytestmark = pytest.mark.slow

LONG = "a-name-without-a-space-" * 5 + "c5"
TWIN = "b-name-without-a-space-" * 5 + "c5"
CUT = """() => [...document.querySelectorAll("main *, dialog *")].filter((one) =>
    one.checkVisibility() && one.scrollWidth > one.clientWidth + 1
    && getComputedStyle(one).overflowX === "auto" && !one.matches("pre")
).map((one) => one.ariaLabel ?? one.className)"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    installed()
    root = tmp_path_factory.mktemp("odd")
    make_bundle(root / "bundles", cohort=400, dimension=32)
    make_text_bundle(root / "bundles")
    service = Service(root / "var", root / "bundles", default_comparator="tiny")
    yield service.start(timeout=300).wait_ready()
    assert service.stop() == 0


def enroll(client, gallery, identity, drawings):
    files = [part(draw(*each)) for each in drawings]
    fields = {"gallery": gallery, "identity": identity}
    assert client.post("/enroll", data=fields, files=files).status_code == 201


@pytest.fixture(scope="module")
def named(served):
    """A gallery in which one is enrolled twice, under long names, and one sample is somebody's."""
    gallery = "gallery-without-a-space-" * 5
    with served.client() as client:
        made = client.post("/galleries", json={"name": gallery, "keep_samples": True})
        made.raise_for_status()
        for i in range(24):
            name = LONG if i == 5 else f"c{i}"
            enroll(client, gallery, name, [(i, take) for take in range(1, 5)])
        enroll(client, gallery, TWIN, [(5, take) for take in range(5, 9)])
        enroll(client, gallery, "c4", [(9, 9)])
        enroll(client, gallery, "single", [(90, 1)])
    return gallery


@pytest.fixture
def tab(served):
    with opened(f"{served.url}/console/") as tab:
        yield tab
        tab.demand_quiet()


def open_all(page):
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


def fill(page, view, samples):
    match view:
        case "Identify" | "Enroll":
            page.get_by_label("Samples", exact=True).set_input_files(samples)
            if view == "Identify":
                press(page, "Identify")
                status(page, "Match")
            else:
                page.get_by_label("Identity of row 1").fill(LONG)
                page.get_by_role("button", name="Enroll 1 sample").click()
                status(page, "Enrolled")
        case "Gallery":
            press(page, "Check consistency")
            press(page, f"Edit {LONG}")
            page.get_by_text("Most alike first").wait_for()
            page.get_by_text("How many samples would be named").wait_for()
        case "Map":
            page.get_by_role("status").filter(has_text="Laid out by neighbours.").wait_for()
            page.get_by_label("Colour by").select_option("identity")
            page.get_by_role("button", name=f"Select {LONG}").click()
            page.get_by_label("Whose they are, new or known").fill(TWIN)
        case "Health":
            press(page, "Check")
            status(page, r"\d+ thing")
            page.get_by_role("button", name="Next").click()
        case "Threshold":
            near = page.get_by_role("region", name="Nearest to the threshold")
            near.locator("img").first.wait_for()
        case "Live":
            page.get_by_text("Read 2 times.").wait_for()


@pytest.mark.parametrize("width", [320, 1100])
def test_no_name_is_too_long_for_a_screen(served, named, width, tmp_path):
    sample = tmp_path / ("file-without-a-space-" * 8 + ".png")
    sample.write_bytes(draw(5, 3))
    options = {"viewport": {"width": width, "height": 700}}
    with opened(f"{served.url}/console/", **options) as tab:
        page = tab.page
        for view in VIEWS:
            show(page, view)
            if page.get_by_label("Gallery", exact=True).count():
                choose(page, named)
                page.wait_for_load_state("networkidle")
            fill(page, view, sample)
            open_all(page)
            page.screenshot(path=tmp_path / f"{view}-{width}.png", full_page=True)
            too_wide = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
            assert (view, too_wide) <= (view, 0)
            if view in ("Identify", "Enroll", "Gallery", "Health", "Map"):
                assert (view, page.evaluate(CUT)) == (view, [])
        show(page, "Gallery")
        press(page, f"Forget {LONG}")
        page.get_by_role("dialog").wait_for()
        assert page.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0
        assert page.evaluate(CUT) == []
        tab.demand_quiet()


def test_how_consistent_each_identity_is_and_what_was_done_to_it(tab, served, named):
    page = tab.page
    show(page, "Gallery")
    choose(page, named)
    page.get_by_role("rowheader", name="c4", exact=True).wait_for()

    press(page, "Check consistency")

    table = page.get_by_role("region", name="Identities")
    table.get_by_role("columnheader", name="Consistency").wait_for()
    with served.client() as client:
        told = client.get(f"/galleries/{named}/map").json()
    for name in ("c4", "c0", LONG):
        row = table.get_by_role("row").filter(
            has=page.get_by_role("rowheader", name=name, exact=True)
        )
        outcomes = [
            outcome
            for whose, outcome in zip(told["identities"], told["outcomes"], strict=True)
            if whose == name
        ]
        expected = f"{outcomes.count('own')} of {len(outcomes)} named as it"
        row.get_by_role("cell", name=expected, exact=True).wait_for()
    assert "4 of 5 named as it" in table.inner_text()  # of c4, one of whose samples is c9's
    single = table.get_by_role("row").filter(has_text="single")
    single.get_by_role("cell", name="only one sample").wait_for()

    def order():
        return table.get_by_role("rowheader").all_inner_texts()

    page.get_by_label("Those shown, by").select_option("consistency")
    shares = [
        int(cell.split(" of ")[0]) / int(cell.split(" of ")[1].split()[0])
        for cell in table.get_by_role("cell", name="named as it").all_inner_texts()
    ]
    assert shares == sorted(shares)
    assert shares[0] < 1
    assert order()[-1] == "single"
    page.get_by_label("Those shown, by").select_option("samples")
    assert order()[0] == "single"
    page.get_by_label("Those shown, by").select_option("name")
    assert order() == sorted(order(), key=str.casefold)

    press(page, "Edit c7")
    page.get_by_text("First of its samples enrolled").wait_for()
    page.get_by_label("New name of c7").fill("seven")
    press(page, "Rename")
    status(page, "Renamed c7 to seven")
    table.get_by_role("columnheader", name="Consistency").wait_for(state="detached")  # of before
    press(page, "Edit seven")
    past = page.get_by_role("list", name="History of seven")
    past.get_by_text("c7 was renamed to seven").wait_for()
    press(page, "Edit c0")
    past = page.get_by_role("list", name="History of c0")
    past.get_by_text("First of its samples enrolled").wait_for()
    assert "renamed" not in past.inner_text()
    page.get_by_role("status").get_by_role("button", name="Undo").click()
    page.get_by_role("rowheader", name="c7", exact=True).wait_for()


TEXTS = ["@smile; type=x", "<heart", "it's a plain one", "a=b;c"]


def test_a_copied_call_sends_texts_and_names_of_files_as_they_are(served, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    with served.client() as client:
        for name, comparator in (("signs", "words"), ("files", "tiny")):
            made = {"name": name, "comparator": comparator, "keep_samples": True}
            client.post("/galleries", json=made).raise_for_status()
    odd = tmp_path / 'na;me, "odd" \\ one.png'
    odd.write_bytes(draw(40, 1))
    with opened(
        f"{served.url}/console/#enroll", permissions=["clipboard-read", "clipboard-write"]
    ) as tab:
        page = tab.page

        def copied():
            press(page, "Copy as curl")
            page.get_by_text("Copied as curl.").wait_for()
            return page.evaluate("navigator.clipboard.readText()")

        choose(page, "signs")
        page.get_by_role("textbox", name="one sample a line").fill("\n".join(TEXTS))
        press(page, "Enroll")
        page.get_by_label("Identity of row 1").fill("@who; is")
        press(page, f"Enroll {len(TEXTS)} samples of 1 identity")
        status(page, "Enrolled")
        of_texts = copied()
        press(page, "Clear the list")
        choose(page, "files")
        page.get_by_label("Samples", exact=True).set_input_files(odd)
        page.get_by_label("Identity of row 1").fill("odd")
        press(page, "Enroll 1 sample of 1 identity")
        status(page, "Enrolled")
        of_files = copied()
        tab.demand_quiet()

    for command, samples in ((of_texts, len(TEXTS)), (of_files, 1)):
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        answer = json.loads(done.stdout)
        assert [each["outcome"] for each in answer["samples"]] == ["duplicate"] * samples, answer


def test_a_key_that_no_header_can_carry_is_not_sent_and_told(tab):
    page = tab.page
    press(page, "API key")
    before = len(tab.requests)
    for wrong, sign in (
        ("schlüssel", "ü"),
        ("key–of–mine", "–"),
        ("two words", " "),
        ("a😀", "😀"),
    ):
        page.get_by_label("API key", exact=True).fill(wrong)
        press(page, "Use it")
        page.get_by_text(f"A key cannot have “{sign}” in it").wait_for()

    assert len(tab.requests) == before
    assert page.evaluate("sessionStorage.length") == 0
    assert page.get_by_text("does not answer").count() == 0
    page.get_by_label("API key", exact=True).fill(" plain-key ")
    press(page, "Use it")
    page.get_by_text("API key (set)").wait_for()


DROPPED = """(of) => {
    const file = (name) => ({ name, isFile: true, isDirectory: false,
        file: (done) => done(new File(["x"], name, { type: "image/png" })) });
    const folder = (name, inner) => ({ name, isFile: false, isDirectory: true,
        createReader: () => {
            const left = [inner, []];
            return { readEntries: (done) => done(left.shift()) };
        } });
    const built = ([name, inner]) => inner ? folder(name, inner.map(built)) : file(name);
    const event = new Event("drop", { bubbles: true, cancelable: true });
    event.dataTransfer = { files: [], items: of.map((each) => ({
        webkitGetAsEntry: () => built(each) })) };
    document.querySelector("fieldset.samples").dispatchEvent(event);
}"""


def test_what_lies_beside_the_folders_of_identities_is_left_out_and_told(tab, tmp_path):
    page = tab.page
    people = tmp_path / "people"
    for path in ("ada/1.png", "ada/old/2.png", "bea/1.png", "bea/.hidden.png", ".git/config"):
        (people / path).parent.mkdir(parents=True, exist_ok=True)
        (people / path).write_bytes(draw(1))
    for name in ("LICENSE.txt", "notes.md", ".DS_Store"):
        (people / name).write_text("no sample")
    show(page, "Enroll")
    left_out = page.get_by_role("alert").filter(has_text="Left out")

    page.get_by_label("Folder", exact=True).set_input_files(people)
    page.get_by_role("button", name="Enroll 3 samples of 2 identities").wait_for()

    assert [one.input_value() for one in rows(page)] == ["ada", "bea"]
    for name in ("LICENSE.txt", "notes.md"):
        assert name in left_out.inner_text()
    assert ".DS_Store" not in left_out.inner_text()

    press(page, "Clear the list")
    inner = [["ada", [["1.png"], ["old", [["2.png"]]]]], ["LICENSE.txt"]]
    page.evaluate(DROPPED, [["people", inner], ["cid", [["1.png"]]]])
    page.get_by_role("button", name="Enroll 3 samples of 2 identities").wait_for()
    assert [one.input_value() for one in rows(page)] == ["ada", "cid"]
    assert "it lies beside the folders of identities: LICENSE.txt." in left_out.inner_text()


def rows(page):
    return page.get_by_role("textbox", name="Identity of row").all()


def test_all_of_each_picture_is_in_the_map(served, named):
    options = {"viewport": {"width": 320, "height": 700}}
    with opened(f"{served.url}/console/#map", **options) as tab:
        page = tab.page
        with served.client() as client:
            made = client.post("/galleries", json={"name": "few", "keep_samples": True})
            made.raise_for_status()
            for i in range(6):
                enroll(client, "few", f"c{i}", [(i, 1), (i, 2), (i, 3)])
        page.reload()
        choose(page, "few")
        page.get_by_role("status").filter(has_text="Laid out by neighbours.").wait_for()
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(300)

        edge = page.evaluate(
            """() => {
                const canvas = document.getElementById("plot"), { width, height } = canvas;
                const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
                const pixels = new Uint32Array(data.buffer), paper = pixels[0];
                return pixels.filter((pixel, i) => {
                    const x = i % width, y = Math.floor(i / width);
                    const outer = x === 0 || y === 0 || x === width - 1 || y === height - 1;
                    return outer && pixel !== paper;
                }).length;
            }"""
        )
        assert edge == 0
        tab.demand_quiet()


@pytest.mark.parametrize("width", [320, 500, 1000])
def test_words_in_plots_are_large_enough_to_read(served, named, width):
    options = {"viewport": {"width": width, "height": 700}}
    with opened(f"{served.url}/console/#threshold", **options) as tab:
        page = tab.page
        choose(page, named)
        page.get_by_role("slider").wait_for()
        sizes = page.locator("svg.chart text").evaluate_all(
            """(all) => all.map((one) => parseFloat(getComputedStyle(one).fontSize)
                * one.ownerSVGElement.getScreenCTM().a)"""
        )
        assert len(sizes) > 6
        assert min(sizes) >= 11.5
        cut = page.locator("svg.chart text").evaluate_all(
            """(all) => all.filter((one) => {
                const text = one.getBoundingClientRect();
                const chart = one.ownerSVGElement.getBoundingClientRect();
                return text.left < chart.left || text.right > chart.right
                    || text.bottom > chart.bottom;
            }).map((one) => one.textContent)"""
        )
        assert cut == []
        tab.demand_quiet()


def test_a_rate_is_told_in_one_way_however_small_it_is(served, tab):
    told = tab.page.evaluate(
        """async () => {
            const { rate } = await import("./words.js");
            return [1e-6, 1e-4, 0.0123, 0.5, 0.9995, 1, 0, 1e-12].map(rate);
        }"""
    )

    assert [each.replace("\u00a0", " ") for each in told] == [
        "0.0001 %",
        "0.01 %",
        "1.2 %",
        "50 %",
        "over 99.9 %",
        "100 %",
        "0 %",
        "under 0.0001 %",
    ]


def test_how_sure_a_duplicate_is_cannot_be_taken_for_a_p_value(tab, named):
    page = tab.page
    show(page, "Health")
    choose(page, named)
    press(page, "Check")
    status(page, r"\d+ thing")

    page.get_by_text("the halves of").first.wait_for(state="attached")
    told = page.get_by_role("main").text_content()

    assert "They are one with probability" in told
    assert "p = " not in told
