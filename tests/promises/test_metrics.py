"""Names in docs, dashboards and rules are names that the service shows."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from tests.queries import DASHBOARDS, RULES, exposed, panel_queries, panels, rules, selectors
from tests.services import ROOT

ROW = re.compile(r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \|([^|]*)\|", re.MULTILINE)
SCRAPED = {"job", "instance"}  # the labels that Prometheus itself adds

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not installed"
)


def documented():
    names = {}
    for name, kind, labels in ROW.findall((ROOT / "docs/metrics.md").read_text()):
        parts = [name]
        if kind == "histogram":
            parts = [f"{name}_{part}" for part in ("bucket", "count", "sum")]
        for part in parts:
            le = {"le"} if part.endswith("_bucket") else set()
            names[part] = set(re.findall(r"`([a-z_]+)`", labels)) | le
    return names


def test_docs_and_exposition_have_the_same_names_and_labels():
    assert documented() == exposed()


@pytest.mark.parametrize(("title", "query"), panel_queries())
def test_a_panel_asks_only_for_what_is_shown(title, query):
    known = exposed()

    for name, labels in selectors(query):
        assert labels <= known[name] | SCRAPED, (title, name)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_only_for_what_is_shown_or_recorded(rule):
    known = exposed() | {"up": set()}
    known |= {
        r["record"]: {"route", "code", "gallery", "outcome"} for r in rules() if "record" in r
    }

    for name, labels in selectors(rule["expr"]):
        assert labels <= known[name] | SCRAPED, name


def test_dashboards_are_for_any_prometheus_and_few_enough_to_read():
    assert [each.stem for each in DASHBOARDS] == [
        "kindred-decisions",
        "kindred-service",
        "kindred-store",
    ]
    for dashboard in DASHBOARDS:
        text = dashboard.read_text()
        content = json.loads(text)
        variables = {variable["name"]: variable for variable in content["templating"]["list"]}
        assert "uid" not in content
        assert "${DS_" not in text
        assert variables["datasource"]["type"] == "datasource"
        assert set(re.findall(r'"uid": "([^"]*)"', text)) == {"${datasource}"}
        assert set(re.findall(r"\$(job|route|gallery)\b", text)) == {*variables} - {"datasource"}
    assert len([panel for dashboard in DASHBOARDS for panel in panels(dashboard)]) <= 30


def test_no_panel_covers_another():
    for dashboard in DASHBOARDS:
        places = [panel["gridPos"] for panel in panels(dashboard)]
        cells = [
            (x, y)
            for at in places
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24


def test_every_alert_leads_to_a_section_that_tells_what_to_do():
    headings = re.findall(r"^#+ (.*)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}

    for rule in rules():
        if "alert" in rule:
            page, _, anchor = rule["annotations"]["runbook"].partition("#")
            assert (page, anchor in anchors) == ("docs/operations.md", True), rule["alert"]
            assert rule["labels"]["severity"] in {"page", "ticket", "info"}


def test_every_alert_is_shown_to_fire_and_to_stay_silent():
    files = RULES.parent.glob("rules-test*.yml")
    tests = [test for file in files for test in yaml.safe_load(file.read_text())["tests"]]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}

    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


@needs_promtool
@pytest.mark.parametrize(
    "words",
    [
        ["check", "rules", "--lint-fatal", "rules.yml"],
        ["test", "rules", "rules-test.yml", "rules-test-week.yml"],
        ["check", "config", "--syntax-only", "prometheus.yml"],
    ],
    ids=" ".join,
)
def test_promtool_agrees(words):
    check = subprocess.run(["promtool", *words], cwd=RULES.parent, capture_output=True, text=True)

    assert check.returncode == 0, check.stdout + check.stderr
