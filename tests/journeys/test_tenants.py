"""Two tenants at one service: neither is told anything of the other, whatever it asks.

`python -m tests.journeys.test_tenants --calls 50000` asks as often as one likes.
"""

import argparse
import random
import tempfile
from pathlib import Path

import pytest

from tests.bundles import make_bundle
from tests.calls import told
from tests.drawings import as_json, draw
from tests.keys import bearing, entry, write
from tests.services import Service

TENANTS = ("acme", "other")
NAMES = [f"person{i}" for i in range(4)]
SAME_REQUEST = {"X-Request-Id": "same"}


class Tenant:
    """Calls with its own key, at random and partly in nonsense, on galleries of both."""

    def __init__(self, service, name, rng):
        self.client = service.client(headers=bearing(name) | SAME_REQUEST)
        self.name = name
        self.rng = rng
        self.asked = 0

    def identity(self, owner):
        return f"{owner}-{self.rng.choice(NAMES)}"

    def call(self, gallery, owner):
        """Return a request that could be of this gallery: one of any route, in any shape."""
        rng, name = self.rng, self.identity(owner)
        path = f"/galleries/{gallery}"
        sample = as_json(draw(rng.randrange(12), rng.randrange(3)))
        odd = rng.random() < 0.15
        page = {"limit": rng.choice([1, 5, "x", 0] if odd else [1, 5])}
        body = {"gallery": gallery, "files": [sample] * rng.randrange(not odd, 3)}
        body |= {"top": "5"} if odd and rng.random() < 0.3 else {}
        return rng.choice(
            [
                ("POST", "/identify", {"json": body | {"target_fpir": rng.choice([0.1, 0.05])}}),
                ("POST", "/enroll", {"json": body | {"identity": name}}),
                ("POST", "/cluster", {"json": {"gallery": gallery}}),
                ("POST", "/enroll/bulk", {"params": {"gallery": gallery}, "content": b"{}\n"}),
                ("GET", path, {}),
                ("GET", f"{path}/identities", {"params": page}),
                ("GET", f"{path}/identities/{name}", {}),
                ("PATCH", f"{path}/identities/{name}", {"json": {"metadata": {"of": owner}}}),
                ("DELETE", f"{path}/identities/{name}", {}),
                ("DELETE", f"{path}/identities/{name}/samples/{rng.randrange(1, 9)}", {}),
                ("GET", f"{path}/receipts/{rng.randrange(1, 40)}", {}),
                ("GET", f"{path}/health", {}),
                ("GET", f"{path}/export", {}),
                ("GET", f"{path}/migration", {}),
                ("POST", f"{path}/import", {"content": b"{}\n"}),
                ("POST", "/galleries", {"json": {"name": gallery}}),
                ("GET", "/galleries", {}),
            ]
        )

    def send(self, call, **headers):
        method, path, more = call
        self.asked += 1
        return self.client.request(method, path, headers=headers, **more)


def crossed(service, calls, seed):
    """Let both ask on, and return what was told to one and not to be: nothing, it is hoped."""
    rng = random.Random(seed)
    tenants = {name: Tenant(service, name, rng) for name in TENANTS}
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
            root.post("/galleries", json={"name": f"{name}-staff"}).raise_for_status()
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


def test_no_answer_has_anything_of_the_other_tenant(service):
    assert crossed(service, calls=450, seed=7) == []


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_bundle(root / "bundles", cohort=400, dimension=32)
        running = of_two_tenants(root, root / "bundles")
        try:
            found = crossed(filled(running), asked.calls, asked.seed)
        finally:
            running.stop()
    print({"calls": asked.calls, "seed": asked.seed, "leaks": len(found)}, *found[:5], sep="\n")
