"""Whatever is asked in whatever order: galleries answer as a dictionary of people would.

The model is plain Python; the service is real, and is killed now and then.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.bundles import make_bundle
from tests.services import Service

pytestmark = pytest.mark.slow

SAMPLES = np.random.default_rng(7).normal(size=(12, 8)).astype(np.float32)
SAMPLES /= np.linalg.norm(SAMPLES, axis=1, keepdims=True)
NAMES = st.sampled_from(["Ada", "Grace", "Émilie", "王", "a b"])
WHICH = st.integers(0, len(SAMPLES) - 1)
METADATA = st.dictionaries(st.text("ab", max_size=2), st.integers(0, 9), max_size=2)


def sample(which: int) -> dict:
    return {"embedding": SAMPLES[which].tolist()}


class AsADictionary(RuleBasedStateMachine):
    """One gallery, beside a dictionary of who is in it: name → which sample → its id."""

    service: Service
    gallery = "any"

    @initialize()
    def begin(self) -> None:
        self.client = self.service.client()
        self.client.delete(f"/galleries/{self.gallery}")
        made = self.client.post("/galleries", json={"name": self.gallery, "rule": "max"})
        assert made.status_code == 201
        self.people: dict[str, dict[int, str]] = {}
        self.metadata: dict[str, dict] = {}
        self.version = 0
        self.killed = False

    def teardown(self) -> None:
        self.client.close()

    def url(self, name: str) -> str:
        return f"/galleries/{self.gallery}/identities/{name}"

    @rule(name=NAMES, which=st.lists(WHICH, min_size=1, max_size=3), keyed=st.booleans())
    def enroll(self, name: str, which: list[int], keyed: bool) -> None:
        held = self.people.setdefault(name, {})
        headers = {"Idempotency-Key": "-".join(map(str, [self.version, *which]))} if keyed else {}
        body = {"gallery": self.gallery, "identity": name, "files": [sample(i) for i in which]}

        told = self.client.post("/enroll", json=body, headers=headers)

        assert told.status_code == 201
        new = {i for i in which if i not in held}
        self.version += bool(new)
        assert told.json()["version"] == self.version
        for i, one in zip(which, told.json()["samples"], strict=True):
            assert one["outcome"] == ("added" if i in new else "duplicate")
            new.discard(i)
            assert held.setdefault(i, one["id"]) == one["id"]
        if keyed:
            again = self.client.post("/enroll", json=body, headers=headers).json()
            for what in ("version", "samples"):
                assert again[what] == told.json()[what]

    @rule(name=NAMES)
    def forget(self, name: str) -> None:
        there = self.people.pop(name, None) is not None
        self.metadata.pop(name, None)
        self.version += there

        told = self.client.delete(self.url(name))

        assert told.status_code == (200 if there else 404)
        assert not there or told.json()["version"] == self.version

    @rule(name=NAMES, which=WHICH)
    def forget_sample(self, name: str, which: int) -> None:
        id_ = self.people.get(name, {}).pop(which, None)
        self.version += id_ is not None

        told = self.client.delete(f"{self.url(name)}/samples/{id_ or 999}")

        assert told.status_code == (200 if id_ else 404)
        assert not id_ or told.json()["version"] == self.version

    @rule(name=NAMES, metadata=METADATA)
    def describe(self, name: str, metadata: dict) -> None:
        there = name in self.people
        self.version += there
        if there:
            self.metadata[name] = metadata

        told = self.client.patch(self.url(name), json={"metadata": metadata})

        assert told.status_code == (200 if there else 404)

    @rule(which=WHICH)
    def identify(self, which: int) -> None:
        body = {"gallery": self.gallery, "files": [sample(which)], "top": 5}

        told = self.client.post("/identify", json=body).json()

        best = {
            name: max(float(SAMPLES[i] @ SAMPLES[which]) for i in held)
            for name, held in self.people.items()
            if held
        }
        [result] = told["results"]
        found = {one["identity"]: 1 - one["distance"] for one in result["candidates"]}
        assert found == pytest.approx(best, abs=1e-5)
        assert list(found.values()) == sorted(found.values(), reverse=True)
        assert (told["version"], told["identities"]) == (self.version, len(best))

    @precondition(lambda self: self.version > 3 and not self.killed)
    @rule()
    def kill(self) -> None:
        self.killed = True
        self.client.close()
        self.service.kill9()
        self.client = self.service.start().wait_ready().client()

    @precondition(lambda self: hasattr(self, "people"))
    @invariant()
    def all_are_there_and_nobody_else(self) -> None:
        gallery = self.client.get(f"/galleries/{self.gallery}").json()
        listed = self.client.get(f"/galleries/{self.gallery}/identities").json()["items"]

        assert gallery["version"] == self.version
        assert gallery["samples"] == sum(map(len, self.people.values()))
        there = {one["identity"]: {s["id"] for s in one["samples"]} for one in listed}
        assert there == {name: set(held.values()) for name, held in self.people.items()}
        said = {one["identity"]: one["metadata"] for one in listed if one["metadata"]}
        assert said == {name: value for name, value in self.metadata.items() if value}


def test_a_gallery_answers_as_a_dictionary_would_in_any_order(tmp_path):
    make_bundle(tmp_path / "bundles", dimension=SAMPLES.shape[1])
    AsADictionary.service = service = Service(tmp_path / "var", tmp_path / "bundles")
    service.start().wait_ready()
    plan = settings(
        max_examples=12,
        stateful_step_count=30,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(AsADictionary, settings=plan)
    finally:
        assert service.stop() == 0, service.log.read_text()
