"""Each control of a view of the console, tried: something comes of it, or it is dead."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from tests.browser import Tab, choose, show

TYPED = "qqx"  # in fields of text: no page says it unless it was typed
BUTTONS = "button, summary, a"
FIELDS = "select, textarea, input:not([type=file])"
CONTROLS = ", ".join(
    f"{each}:visible:not(:disabled)" for each in f"{BUTTONS}, {FIELDS}".split(", ")
)
NAMES = """(all) => all.map((each) => each.ariaDisabled === "true" ? null : [
    each.tagName, each.ariaLabel ?? (each.labels?.[0]?.innerText || each.id),
    each.matches("select, input, textarea") ? each.type : each.innerText,
    each.closest("fieldset")?.querySelector("legend")?.innerText ?? "",
].join(" ").replace(/\\s+/g, " "))"""
HEAR = """() => {
    globalThis.refused ??= 0;
    globalThis.changes ??= 0;
    new MutationObserver(() => { changes += 1; }).observe(document.getElementById("app"),
        { subtree: true, childList: true, characterData: true, attributes: true });
    addEventListener("invalid", () => { refused += 1; }, true); // the browser says what is amiss
}"""
# All that is to be seen but for the focus, the scroll, and what was done to the control itself.
STATE = """() => {
    const tried = globalThis.tried ?? {};
    const own = (one) => one === tried || (one.type === "radio" && one.name === tried.name);
    const all = (selector) => [...document.querySelectorAll(selector)];
    return JSON.stringify([
        document.getElementById("app").innerHTML, location.hash, refused, changes,
        all("canvas").map((each) => each.toDataURL()),
        all("details, dialog").map((each) => each.open),
        all("select, input, textarea").filter((one) => !own(one))
            .map((one) => [one.value, one.checked]),
    ]);
}"""
OPEN_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
PATIENCE = 8.0  # seconds until a control that nothing has come of is dead
READINGS = 3  # of metrics, and then the page stands still


@dataclass
class Walk:
    """A walk through the controls of a view; of those that differ by a number only, the first.

    `fill` brings the view to where it has all of its controls; `on_show` is done whenever it is
    come to.
    """

    tab: Tab
    view: str
    gallery: str
    fill: Callable[[Any], object] = lambda _: None
    on_show: Callable[[Any], object] = lambda _: None
    seen: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    _under_way: set[Any] = field(default_factory=set)
    _heard: int = 0
    _readings: int = 0

    def go_through(self) -> None:
        """Try each control, those too that others bring."""
        page = self.tab.page
        page.evaluate(HEAR)
        listeners = {
            "request": self._begun,
            "requestfinished": self._done,
            "requestfailed": self._done,
            "download": self._hear,
        }
        for event, listener in listeners.items():
            page.on(event, listener)
        page.route("**/metrics", self._read)
        self._show()
        self.fill(page)
        while (control := self._next()) is not None:
            name, place = control
            self.seen.append(name)
            if not self._is_alive(name, place):
                self.dead.append(name)
            self._come_back()
        page.unroute("**/metrics", self._read)
        for event, listener in listeners.items():
            page.remove_listener(event, listener)

    def _begun(self, request: Any) -> None:
        if not request.url.endswith("/metrics"):  # which may be held up
            self._under_way.add(request)
            self._hear(request)

    def _done(self, request: Any) -> None:
        self._under_way.discard(request)

    def _hear(self, _: Any) -> None:
        self._heard += 1

    def _read(self, route: Any) -> None:
        self._readings += 1
        if self._readings <= READINGS:
            route.continue_()

    def _show(self) -> None:
        page = self.tab.page
        self._readings = 0
        show(page, self.view)
        page.get_by_role("main").locator(CONTROLS).first.wait_for()
        if page.get_by_label("Gallery", exact=True).count():
            choose(page, self.gallery)
        self._settled()
        self.on_show(page)

    def _come_back(self) -> None:
        """Close a question, and return from another view or gallery."""
        page = self.tab.page
        if page.get_by_role("dialog").count():
            page.keyboard.press("Escape")
        if page.get_by_role("heading", level=1).inner_text() != self.view:
            self._show()
        shown = page.get_by_label("Gallery", exact=True)
        if shown.count() and shown.input_value() != self.gallery:
            choose(page, self.gallery)

    def _next(self) -> tuple[str, Any] | None:
        self._settled()
        controls = self.tab.page.get_by_role("main").locator(CONTROLS)
        for i, name in enumerate(controls.evaluate_all(NAMES)):
            if name is not None and _kind(name) not in self.seen:
                return _kind(name), controls.nth(i)
        return None

    def _is_alive(self, name: str, place: Any) -> bool:
        """Whether something comes of a control: at once, or of a field when it is sent or left."""
        place.evaluate("(one) => { globalThis.tried = one; }")
        if not place.evaluate("(one, fields) => one.matches(fields)", FIELDS):
            return self._comes_of(place.click)
        if not _can_change(place):
            return True
        typed = f"{TYPED}{len(self.seen)}"
        if self._comes_of(lambda: _change(place, typed)):
            alive = True
        elif place.evaluate("(one) => one.type") == "search":
            place.press("Enter")
            alive = typed in self._settled()[0]
        else:
            alive = self._is_remembered(name, place)
        if place.evaluate("(one) => one.type") == "search":
            place.fill("")
            place.press("Enter")  # or the rest would not be shown
        return alive

    def _comes_of(self, act: Callable[[], object]) -> bool:
        before = self._settled()
        act()
        until = monotonic() + PATIENCE
        while monotonic() < until:
            if self._state() != before:
                return True
            self.tab.page.wait_for_timeout(20)
        return False

    def _is_remembered(self, name: str, place: Any) -> bool:
        """Whether the view still has what was put into a field when somebody comes back to it."""
        page, value = self.tab.page, "(one) => [one.value, one.checked]"
        left = place.evaluate(value)
        show(page, "Overview" if self.view != "Overview" else "Verify")
        self._show()
        page.evaluate(OPEN_ALL)
        controls = page.get_by_role("main").locator(CONTROLS)
        names = [each and _kind(each) for each in controls.evaluate_all(NAMES)]
        return name in names and controls.nth(names.index(name)).evaluate(value) == left

    def _state(self) -> tuple[str, int]:
        return self.tab.page.evaluate(STATE), self._heard

    def _settled(self) -> tuple[str, int]:
        """Return the state once nothing is under way and it stays as it is."""
        before = None
        for _ in range(600):
            now = self._state()
            if now == before and not self._under_way:
                return now
            before = now
            self.tab.page.wait_for_timeout(60)
        raise AssertionError(f"{self.view} does not come to rest")


def _kind(name: str) -> str:
    return re.sub(r"\S*\d\S*", "#", name)


def _can_change(place: Any) -> bool:
    """Whether there is another value: a list may have one only, and a choice may be made."""
    return bool(
        place.evaluate(
            "(one) => one.type === 'radio' ? !one.checked : !one.options || one.options.length > 1"
        )
    )


def _change(place: Any, typed: str) -> None:
    match place.evaluate("(one) => one.type"):
        case "checkbox" | "radio":
            place.click()
        case "select-one":
            value = place.input_value()
            values = place.locator("option").evaluate_all("(all) => all.map((o) => o.value)")
            place.select_option(next(each for each in values if each != value))
        case "range":
            least, most = place.evaluate("(one) => [one.min || '0', one.max || '100']")
            place.fill(least if place.input_value() != least else most)
        case "number":
            place.fill("7")
        case _:
            place.fill(typed)
