"""A real browser for tests, where one is installed: it has no other network than the service."""

import base64
import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 90_000  # milliseconds that a machine with other work may take for a step
FRUGAL = ("--disable-gpu", "--disable-extensions", "--renderer-process-limit=1")
REPORT_VIOLATIONS = """addEventListener("securitypolicyviolation",
    (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"""
COPY = """async ([picture, text]) => {
    const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
    const parts = { "image/png": new Blob([bytes], { type: "image/png" }) };
    if (text) parts["text/plain"] = new Blob([text], { type: "text/plain" });
    await navigator.clipboard.write([new ClipboardItem(parts)]);
}"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
CHECK = """async (rules) => {
    const { violations } = await axe.run(document, { runOnly: rules });
    return violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html}`));
}"""
REFUSED = "Failed to load resource: the server responded with a status of 4"

VIEWS = (
    "Overview",
    "Verify",
    "Identify",
    "Enroll",
    "Gallery",
    "Map",
    "Threshold",
    "Health",
    "Live",
    "Comparators",
)


def installed() -> str:
    """Return the browser's program, or skip the test with the reason."""
    pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"needs a browser: one of {', '.join(PROGRAMS)}")
    return program


@dataclass
class Tab:
    """A tab, and all that went wrong or out of bounds in it."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)  # "METHOD path"
    foreign: list[str] = field(default_factory=list)

    def demand_quiet(self) -> None:
        """Raise if a script failed, the policy was violated or another server was asked."""
        assert self.complaints == []
        assert self.foreign == []


@contextmanager
def opened(url: str, *flags: str, **options: Any) -> Iterator[Tab]:
    """Open a tab of a new browser, started with flags, at a URL; whatever it says is heard."""
    program = installed()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=[*FRUGAL, *flags, *(["--no-sandbox"] * (os.geteuid() == 0))],
        )
        try:
            page = browser.new_context(**options).new_page()
            page.set_default_timeout(PATIENCE)
            page.add_init_script(REPORT_VIOLATIONS)
            tab = Tab(page)
            _listen(tab, "/".join(url.split("/")[:3]))
            page.goto(url)
            yield tab
        finally:
            browser.close()


def _listen(tab: Tab, origin: str) -> None:
    def said(message: Any) -> None:
        if message.type == "error" and not message.text.startswith(REFUSED):
            tab.complaints.append(message.text)

    def asked(request: Any) -> None:
        if request.url.startswith(origin):
            tab.requests.append(f"{request.method} {request.url.removeprefix(origin)}")
        elif not request.url.startswith(("blob:", "data:")):
            tab.foreign.append(request.url)

    tab.page.on("console", said)
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.page.on("request", asked)


def bring_axe(page: Any) -> None:
    """Open a page again with axe-core in it, or skip the test with the reason."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("needs the extra `browser`: axe-playwright-python")
    page.context.add_init_script(path=Path(found.origin).parent / "axe.min.js")
    page.reload()


def violations(page: Any) -> list[str]:
    """Return what keeps some people from using the page as it is now, by WCAG 2.2 AA."""
    found: list[str] = page.evaluate(CHECK, RULES)
    return found


def show(page: Any, view: str) -> None:
    """Go to a view by its link."""
    page.get_by_role("link", name=view, exact=True).click()
    page.get_by_role("heading", level=1, name=view).wait_for()


def choose(page: Any, gallery: str) -> None:
    """Look at a gallery."""
    field = page.get_by_label("Gallery", exact=True)
    field.locator(f"option[value={gallery}]").wait_for(state="attached")
    field.select_option(gallery)


def status(page: Any, word: str) -> str:
    """Return what a status says that starts with a word."""
    starts = r"^\W*" + word.replace(" ", r"\s")  # a figure and its unit are not broken
    place = page.get_by_role("status").filter(has_text=re.compile(starts))
    place.wait_for()
    return re.sub(r"\s+", " ", place.inner_text()).strip()


def drop(page: Any, onto: Any, *paths: Path) -> None:
    """Let files and folders fall onto something, as if dragged there from elsewhere."""
    box = onto.bounding_box()
    told = {
        "x": box["x"] + box["width"] / 2,
        "y": box["y"] + box["height"] / 2,
        "data": {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1},
    }
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind} | told)


def paste(page: Any, picture: bytes, text: str = "") -> None:
    """Copy a picture, perhaps with words beside it, and paste it by keys where the focus is."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(COPY, [base64.b64encode(picture).decode(), text])
    page.keyboard.press("Control+V")


def press(page: Any, name: str) -> None:
    """Press the button of that name."""
    page.get_by_role("button", name=name, exact=True).click()
