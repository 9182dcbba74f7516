"""Two tenants at one service: neither is told anything of the other, whatever it asks.

`python -m tests.journeys.test_tenants --calls 50000` asks as often as one likes.
"""

import argparse
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bundles import make_bundle
from tests.calls import MAKING_A_GALLERY, OF_A_GALLERY, told
from tests.drawings import as_json, draw
from tests.keys import bearing, entry, write
from tests.services import Service

TENANTS = ("acme", "other")
NAMES = [f"person{i}" for i in range(4)]
STRANGERS = [as_json(draw(100 + i)) for i in range(40)]
NO_DECISION = "0" * 24
SAME_REQUEST = {"X-Request-Id": "same"}


class Tenant:
    """Calls with its own key, at random and partly in nonsense, on galleries of both."""

    def __init__(self, service, name, rng, decided):
        self.client = service.client(headers=bearing(name) | SAME_REQUEST)
        self.name = name
        self.rng = rng
        self.decided = decided
        self.asked = 0

    def identity(self, owner):
        return f"{owner}-{self.rng.choice(NAMES)}"

    def call(self, gallery, owner):
        """Return a request that could be of this gallery: one of any route, in any shape."""
        return self.rng.choice(list(self.calls(gallery, owner).values()))

    def calls(self, gallery, owner):
        """Return one request for each operation, in a shape at random."""
        rng, name, another = self.rng, self.identity(owner), self.identity(owner)
        path = f"/galleries/{gallery}"
        person, migration = f"{path}/identities/{name}", f"{path}/migration"
        sample, version = str(rng.randrange(1, 9)), rng.randrange(1, 40)
        drawing = as_json(draw(rng.randrange(12), rng.randrange(3)))
        odd = rng.random() < 0.15
        page = {"params": {"limit": rng.choice([1, 5, "x", 0] if odd else [1, 5])}}
        body = {"gallery": gallery, "files": [drawing] * rng.randrange(not odd, 3)}
        body |= {"top": "5"} if odd and rng.random() < 0.3 else {}
        rate = {"target_fpir": rng.choice([0.1, 0.05])}
        decision = self.decided.get(gallery, NO_DECISION)
        onto = {"comparator": rng.choice(["tiny", "wide"])}
        verdict = {"decision": decision, "verdict": rng.choice(["confirm", "reject"])}
        labelled = {"identities": [name] * len(body["files"]), "apply": rng.random() < 0.5}
        labelled |= {"comparator": "wide"} if rng.random() < 0.8 else {}  # refused, or in seconds
        calls = {
            "identify": ("POST", "/identify", {"json": body | rate}),
            "enroll": ("POST", "/enroll", {"json": body | {"identity": name}}),
            "cluster": ("POST", "/cluster", {"json": {"gallery": gallery}}),
            "evaluate": ("POST", "/evaluate", {"json": body | labelled}),
            "enroll_bulk": (
                "POST",
                "/enroll/bulk",
                {"params": {"gallery": gallery}, "content": b"{}\n"},
            ),
            "get_decision": ("GET", f"/decisions/{decision}", {}),
            "give_feedback": ("POST", "/feedback", {"json": verdict}),
            "list_galleries": ("GET", "/galleries", {}),
            "create_gallery": ("POST", "/galleries", {"json": {"name": gallery}}),
            "import_gallery": ("POST", f"{path}/import", {"content": b"{}\n"}),
            "get_gallery": ("GET", path, {}),
            "update_gallery": ("PATCH", path, {"json": rate}),
            "check_gallery": ("GET", f"{path}/health", {}),
            "get_operating_curve": ("GET", f"{path}/operating-curve", {}),
            "get_boundary": ("GET", f"{path}/operating-curve/boundary", page),
            "map_gallery": ("GET", f"{path}/map", page),
            "export_gallery": ("GET", f"{path}/export", {}),
            "put_cohort": ("POST", f"{path}/cohort", {"json": {"files": STRANGERS}}),
            "list_rejections": ("GET", f"{path}/rejections", {}),
            "take_rejection_back": ("DELETE", f"{path}/rejections/{decision[:16]}", {}),
            "list_identities": ("GET", f"{path}/identities", page),
            "get_identity": ("GET", person, {}),
            "update_identity": (
                "PATCH",
                person,
                {"json": rng.choice([{"metadata": {"of": owner}}, {"name": another}])},
            ),
            "forget_identity": ("DELETE", person, {}),
            "forget_sample": ("DELETE", f"{person}/samples/{sample}", {}),
            "get_preview": ("GET", f"{person}/samples/{sample}/preview", {}),
            "similar_identities": ("GET", f"{person}/similar", {}),
            "get_receipt": ("GET", f"{path}/receipts/{version}", {}),
            "merge_identities": (
                "POST",
                f"{path}/merge",
                {"json": {"from": name, "into": another}},
            ),
            "split_identity": (
                "POST",
                f"{path}/split",
                {"json": {"identity": name, "samples": [sample], "into": another}},
            ),
            "list_edits": ("GET", f"{path}/edits", {}),
            "undo_edit": (
                "POST",
                f"{path}/undo",
                {"json": rng.choice([{}, {"version": version}])},
            ),
            "migrate_gallery": ("POST", f"{path}/migrate", {"json": onto}),
            "get_migration": ("GET", migration, {}),
            "end_migration": ("DELETE", migration, {}),
            "switch_comparator": ("POST", f"{migration}/switch", {"json": {}}),
            "roll_back_comparator": ("POST", f"{migration}/rollback", {"json": {}}),
            "finish_migration": ("POST", f"{migration}/finish", {}),
        }
        if owner == "nobody":
            calls["delete_gallery"] = "DELETE", path, {}
        return calls

    def send(self, call, **headers):
        method, path, more = call
        self.asked += 1
        answer = self.client.request(method, path, headers=headers, **more)
        if path == "/identify" and answer.is_success:
            self.decided[more["json"]["gallery"]] = answer.json()["decisions"][-1]
        return answer


def crossed(service, calls, seed):
    """Let both ask on, and return what was told to one and not to be: nothing, it is hoped."""
    rng = random.Random(seed)
    decided = {}  # the newest decision of each gallery, which both know of
    tenants = {name: Tenant(service, name, rng, decided) for name in TENANTS}
    leaks = []
    while sum(tenant.asked for tenant in tenants.values()) < calls:
        me, them = rng.sample(TENANTS, 2)
        tenant = tenants[me]
        key = {"Idempotency-Key": "k"} if rng.random() < 0.1 else {}
        own = tenant.send(tenant.call(f"{me}-staff", me), **key)
        if f"{them}-" in own.text:
            leaks.append((me, "own", own.request.url, own.text[:200]))
        state = rng.getstate()
        foreign = tenant.send(tenant.call(f"{them}-staff", "nobody"))
        rng.setstate(state)
        absent = tenant.send(tenant.call(f"{them}-never", "nobody"))
        if told(foreign) != told(absent) or f"{them}-" in foreign.text:
            said = foreign.text[:200], absent.text[:200]
            leaks.append((me, "foreign", foreign.request.url, *said))
        if foreign.status_code >= 500 or own.status_code >= 500:
            leaks.append((me, "broken", own.status_code, foreign.status_code, own.text[:200]))
    for tenant in tenants.values():
        tenant.client.close()
    return leaks


def of_two_tenants(folder, bundles):
    """Return a service, not started, in which each tenant may do everything with its own."""
    keys = write(
        folder / "keys.toml",
        entry("root", "administer"),
        *(entry(name, "administer", f"{name}-*") for name in TENANTS),
    )
    return Service(folder / "var", bundles, keys_file=keys)


def filled(service):
    """Start it, and enroll somebody for each."""
    service.start().wait_ready()
    with service.client(headers=bearing("root")) as root:
        for name in TENANTS:
            root.post(
                "/galleries", json={"name": f"{name}-staff", "keep_samples": True}
            ).raise_for_status()
            for i, person in enumerate(NAMES):
                body = {"gallery": f"{name}-staff", "identity": f"{name}-{person}"}
                root.post("/enroll", json=body | {"files": [as_json(draw(i))]}).raise_for_status()
    return service


@pytest.fixture(scope="module")
def service(tmp_path_factory, bundles):
    folder = tmp_path_factory.mktemp("tenants")
    service = of_two_tenants(folder, bundles)
    try:
        yield filled(service)
    finally:
        service.stop()


def test_each_operation_on_a_gallery_or_a_decision_is_among_the_calls(service):
    tenant = Tenant(service, "acme", random.Random(0), {})

    asked = set(tenant.calls("other-staff", "nobody"))

    assert asked >= {*OF_A_GALLERY, *MAKING_A_GALLERY, "get_decision", "give_feedback"}
    tenant.client.close()


def test_no_answer_has_anything_of_the_other_tenant(service):
    assert crossed(service, calls=600, seed=7) == []


def test_people_are_found_among_ones_own_while_the_other_enrolls_the_same(service):
    """X3."""

    def enroll_and_find(name):
        gallery, found = f"{name}-crowd", []
        with service.client(headers=bearing(name)) as client:
            client.post("/galleries", json={"name": gallery}).raise_for_status()
            for i in range(40):
                body = {"gallery": gallery, "identity": f"{name}-{i}"}
                body |= {"files": [as_json(draw(i))]}
                client.post("/enroll", json=body).raise_for_status()
                body = {"gallery": gallery, "files": [as_json(draw(i, 1)), as_json(draw(39 - i))]}
                answer = client.post("/identify", json=body).raise_for_status().json()
                found.append([[c["identity"] for c in r["candidates"]] for r in answer["results"]])
        return found

    with ThreadPoolExecutor() as pool:
        both = dict(zip(TENANTS, pool.map(enroll_and_find, TENANTS), strict=True))

    for name, found in both.items():
        everybody = [f"{name}-{i}" for i in range(40)]
        assert [newest[0] for newest, _ in found] == everybody
        assert {each for results in found for result in results for each in result} == {*everybody}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_bundle(root / "bundles", cohort=400, dimension=32)
        make_bundle(root / "bundles", "wide", size=20, dimension=16, distance="l2", cohort=99)
        running = of_two_tenants(root, root / "bundles")
        try:
            found = crossed(filled(running), asked.calls, asked.seed)
        finally:
            running.stop()
    print({"calls": asked.calls, "seed": asked.seed, "leaks": len(found)}, *found[:5], sep="\n")
