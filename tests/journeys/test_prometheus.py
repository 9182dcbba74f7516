"""A real Prometheus scrapes a running Kindred: every query of dashboards and rules has data."""

import json
import math
import re
import shutil
import subprocess
import threading
import time

import httpx
import pytest

from service.watching.telemetry import DECISIONS, ENROLLMENTS
from tests.drawings import as_json, draw, part
from tests.queries import RULES, panel_queries, rules, selectors, substituted
from tests.servers import free_port
from tests.services import Service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed"),
]

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs: [{{job_name: kindred, static_configs: [{{targets: ["{target}"]}}]}}]
"""
PATIENCE = 40  # seconds; a rate has data after two scrapes


class Prometheus:
    """A Prometheus of our own, with our rules, that looks every second."""

    def __init__(self, folder, target):
        (folder / "prometheus.yml").write_text(CONFIG.format(target=target))
        recorded = RULES.read_text()
        (folder / "rules.yml").write_text(re.sub(r"interval: \w+", "interval: 1s", recorded))
        self._log = (folder / "log").open("wb")
        port = free_port()
        words = [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        self._process = subprocess.Popen(words, stdout=self._log, stderr=self._log)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)
        wait_until(self._is_ready, "Prometheus is ready")

    def _is_ready(self):
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def ask(self, query):
        """Return each series of the answer with its value; raise if the query is refused."""
        answer = self._http.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", (query, answer)
        return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]

    def rules(self):
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def stop(self):
        self._http.close()
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


def wait_until(holds, what):
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
    return found


def crowd():
    """Lines that enroll as many as it takes until it is known how many are missed."""
    for character in range(100, 160):
        for take in (1, 2):
            yield json.dumps({"identity": f"glyph-{character}", **as_json(draw(character, take))})


@pytest.fixture(scope="module")
def used_service(tmp_path_factory, bundles):
    """A service that somebody enrolls at, identifies and verifies with, rightly and wrongly."""
    service = Service(tmp_path_factory.mktemp("used") / "var", bundles).start().wait_ready()
    stop = threading.Event()

    def use():
        take = 0
        with service.client() as client:
            client.post("/enroll/bulk", content="\n".join(crowd()))
            while not stop.is_set():
                take += 1
                for character in range(3):
                    files = [part(draw(character, take)), part(draw(character, take=take))]
                    client.post("/enroll", files=files, data={"identity": f"glyph-{character}"})
                torn = [part(draw(3, take)), part(b"torn")]
                client.post("/enroll", files=torn, data={"identity": "glyph-3"})
                probes = [part(draw(character, 1000 + take)) for character in (0, 1, 50 + take)]
                client.post("/identify", files=probes)
                for other in (0, 1):
                    pair = [part(draw(0), "a"), part(draw(other, take), "b")]
                    client.post("/verify", files=pair)
                client.post("/embed", files=[part(draw(take))])
                client.get("/galleries/no-such")
                client.get("/no-such-path")

    user = threading.Thread(target=use)
    user.start()
    yield service
    stop.set()
    user.join()
    assert service.stop() == 0, service.log.read_text()


@pytest.fixture(scope="module")
def prometheus(used_service, tmp_path_factory):
    """A Prometheus that scrapes the used service."""
    folder = tmp_path_factory.mktemp("prometheus")
    prometheus = Prometheus(folder, used_service.url.removeprefix("http://"))
    yield prometheus
    prometheus.stop()


def test_every_query_has_data_and_no_alert_fires(prometheus):
    recordings = [(rule["record"], rule["expr"]) for rule in rules() if "record" in rule]
    queries = [(title, substituted(query)) for title, query in panel_queries()] + recordings
    stood_on = {name for rule in rules() for name, _ in selectors(rule["expr"])}
    queries += [(f"a rule stands on {name}", name) for name in sorted(stood_on)]

    def without_data():
        return [
            title
            for title, query in queries
            if all(math.isnan(value) for _, value in prometheus.ask(query))
        ]

    deadline = time.monotonic() + PATIENCE
    while (empty := without_data()) and time.monotonic() < deadline:
        time.sleep(1)

    assert empty == []
    evaluated = prometheus.rules()
    assert len(evaluated) == len(rules())
    assert [rule["name"] for rule in evaluated if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in evaluated if rule.get("state") == "firing"] == []


def test_what_was_done_is_what_is_counted(prometheus):
    """Each kind of outcome that the traffic leads to is seen, and nothing fails."""

    def counted(query):
        return {tuple(labels.values()): value for labels, value in prometheus.ask(query) if value}

    def outcomes(metric):
        return {outcome for (outcome,) in counted(f"sum by (outcome) ({metric})")}

    wait_until(
        lambda: outcomes("kindred_enrolled_samples_total") == set(ENROLLMENTS),
        "samples were added, found to be there, and refused",
    )
    wait_until(
        lambda: {"match", "unknown"} <= outcomes("kindred_identify_results_total"),
        f"some of {DECISIONS}",
    )
    routes = counted("sum by (route, code) (kindred_http_requests_total)")
    assert ("4xx", "/galleries/{gallery}") in routes
    assert ("4xx", "_other") in routes
    assert not [c for c, route in routes if c.startswith("5") and route != "/health/ready"]
    assert ("not-found",) in counted("sum by (type) (kindred_problems_total)")
    assert prometheus.ask("kindred:server_errors:ratio_rate5m")
    assert not counted("kindred:server_errors:ratio_rate5m")  # clients' mistakes are none
    assert {stage for (stage,) in counted("sum by (stage) (kindred_stage_duration_seconds_count)")}
