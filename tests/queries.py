"""Every question that dashboards and rules ask Prometheus, and the series they stand on."""

import json
import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.watching.telemetry import GalleryState, ServedComparator, Telemetry
from tests.services import ROOT

RULES = ROOT / "deploy/prometheus/rules.yml"
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))

VARIABLES = {"$__rate_interval": "1m", "$__range": "5m", "$job": ".*", "$gallery": ".*"}
VARIABLES |= {"$route": ".*"}
_SELECTOR = re.compile(r"\b((?:kindred|process)[a-z0-9_:]*|up)\b(?:\{([^}]*)\})?")
_LABEL = re.compile(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"')


def panels(dashboard: Path) -> list[dict[str, Any]]:
    """Return the panels of a dashboard."""
    return list(json.loads(dashboard.read_text())["panels"])


def panel_queries() -> list[tuple[str, str]]:
    """Return each query of each panel and annotation after its title; variables stand as is."""
    return [
        (f"{dashboard.stem}: {panel['title']}", target["expr"])
        for dashboard in DASHBOARDS
        for panel in panels(dashboard)
        for target in panel["targets"]
    ] + [
        (f"{dashboard.stem}: {annotation['name']}", annotation["expr"])
        for dashboard in DASHBOARDS
        for annotation in json.loads(dashboard.read_text())["annotations"]["list"]
    ]


def rules() -> list[dict[str, Any]]:
    """Return all rules: recordings have `record`, alerts have `alert`."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def substituted(query: str) -> str:
    """Return the query as Grafana would send it with every variable on "All"."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


def selectors(query: str) -> list[tuple[str, set[str]]]:
    """Return the series that a query asks for, each with the labels that it selects by."""
    found = _SELECTOR.findall(query)
    return [(name, set(_LABEL.findall(matchers))) for name, matchers in found]


@cache
def exposed() -> dict[str, set[str]]:
    """Return every sample name that the service shows, with its labels."""
    telemetry = Telemetry(
        routes={"/identify": {200}},
        problems=["overloaded"],
        comparators=[ServedComparator("ink@1", "sha256:ab", "CPUExecutionProvider", "auto")],
    )
    every_promise = dict.fromkeys([field.name for field in fields(GalleryState)][4:], 0.5)
    telemetry.galleries([GalleryState("default", 1, 2, 3, **every_promise)])
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(telemetry.exposition()[0].decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found
