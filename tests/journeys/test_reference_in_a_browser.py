"""The page of every call, as people try them out: in a real browser, with the shipped bundle."""

import shutil

import pytest

from tests.browser import bring_axe, installed, opened, violations
from tests.services import ROOT, Service

pytestmark = pytest.mark.slow

DRAWINGS = ROOT / "kindred" / "drawings"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    installed()
    root = tmp_path_factory.mktemp("reference")
    shutil.copytree(ROOT / "models_store" / "bundles" / "ink", root / "bundles" / "ink")
    service = Service(root / "var", root / "bundles")
    yield service.start(timeout=300).wait_ready()
    assert service.stop() == 0


def drawings(*names):
    return [DRAWINGS / f"{name}.png" for name in names]


@pytest.mark.parametrize(
    ("call", "status", "files"),
    [
        ("verify", 200, {"a": drawings("greek-01/1"), "b": drawings("greek-01/2")}),
        ("enroll", 201, {"files": drawings("greek-01/1", "greek-01/2")}),
        ("identify", 200, {"files": drawings("greek-01/3")}),
        ("embed", 200, {"files": drawings("greek-01/1", "greek-02/1")}),
        ("cluster", 200, {"files": drawings("greek-01/1", "greek-01/2", "greek-02/1")}),
    ],
)
def test_who_tries_a_call_chooses_files_and_presses_execute_and_no_more(
    served, call, status, files
):
    with opened(f"{served.url}/docs") as tab:
        operation = tab.page.locator(f"#operations-default-{call}")
        operation.get_by_text(f"/{call}", exact=True).click()
        operation.get_by_role("button", name="Try it out").click()
        for name, paths in files.items():
            field = operation.locator(f"tr[data-property-name={name}]")
            for number, path in enumerate(paths):
                if field.get_by_role("button", name="Add").count():
                    field.get_by_role("button", name="Add").click()
                field.locator("input[type=file]").nth(number).set_input_files(path)
        operation.get_by_role("button", name="Execute").click()

        answer = operation.locator(".live-responses-table .response").first
        answer.wait_for()
        assert answer.locator(".response-col_status").inner_text().split()[0] == str(status), (
            answer.inner_text()
        )
        tab.demand_quiet()


@pytest.mark.parametrize("width", [1200, 320])
def test_who_reads_the_calls_by_ear_or_by_keys_can_try_them_and_none_is_wider_than_its_screen(
    served, width
):
    with opened(f"{served.url}/docs", viewport={"width": width, "height": 700}) as tab:
        page = tab.page
        refused = []
        page.on("response", lambda answer: answer.status < 400 or refused.append(answer.url))
        bring_axe(page)
        page.locator(".opblock").first.wait_for()
        assert violations(page) == []

        for call in ("identify", "create_gallery", "get_gallery"):
            operation = page.locator(f"#operations-default-{call}")
            operation.get_by_role("button").first.click()
            operation.get_by_role("button", name="Try it out").click()
        operation.get_by_role("textbox", name="gallery").fill("default")
        operation.get_by_role("button", name="Execute").click()
        operation.locator(".live-responses-table .response").first.wait_for()
        page.wait_for_load_state("networkidle")

        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert refused == []
        tab.demand_quiet()
