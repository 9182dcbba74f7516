"""Every call, described once."""

import inspect
import json

import httpx
import pytest

from kindred import AsyncClient, Client, calls
from kindred.calls import Call
from kindred.exchange import Exchange, Versions
from tests.promises.openapi import document

OPERATIONS = {
    op["operationId"]: op for path in document()["paths"].values() for op in path.values()
}
IN_MANY_STEPS = {"enroll_bulk", "export_gallery"}  # enroll_many makes and reads the lines
OUR_OWN = {"identities", "enroll_many", "evaluate_folder", "export_gallery", "close"}


def public(cls):
    return {name for name in dir(cls) if not name.startswith("_") and callable(getattr(cls, name))}


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_of_the_service_is_a_call(name):
    assert name in calls.__all__, "kindred/calls"
    assert name in IN_MANY_STEPS or name in public(Client), "kindred/client.py"


def test_both_clients_have_the_same_methods_with_the_same_arguments():
    assert public(Client) == public(AsyncClient) == (set(OPERATIONS) - IN_MANY_STEPS) | OUR_OWN

    for name in public(Client) - OUR_OWN:
        waiting, awaited = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(waiting) == inspect.signature(awaited)
        assert waiting.__doc__ == awaited.__doc__ == getattr(calls, name).__doc__


def test_a_method_says_what_it_answers():
    signature = inspect.signature(Client().verify)

    assert list(signature.parameters)[:2] == ["a", "b"]
    assert signature.return_annotation.__name__ == "VerifyAnswer"


WITH_FIELDS = sorted(
    name
    for name, operation in OPERATIONS.items()
    if "application/json" in operation.get("requestBody", {}).get("content", {})
)


@pytest.mark.parametrize("name", WITH_FIELDS)
def test_a_call_takes_every_field_that_the_service_does(name):
    content = OPERATIONS[name]["requestBody"]["content"]["application/json"]["schema"]
    takes = set(inspect.signature(getattr(calls, name)).parameters)

    named = {"files": {"samples", "sample"}, "from": {"identity"}}  # what we call otherwise

    for field in content["properties"]:
        assert named.get(field, {field}) & takes, field


def test_names_are_quoted_whatever_they_are_made_of():
    call = calls.get_identity("a gallery?", "Ωμέγα #1 100% /../")

    sent = request(call)

    assert sent.url.raw_path.decode().count("/") == 4
    assert sent.url.path == "/galleries/a gallery?/identities/Ωμέγα #1 100% /../"


def test_what_was_not_said_is_not_sent():
    body = json.loads(request(calls.identify(b"x", gallery="g", top=3)).content)

    assert body == {"gallery": "g", "files": [{"base64": "eA=="}], "top": 3}


def test_each_enrollment_has_a_key_of_its_own_unless_one_is_given():
    keys = {calls.enroll("a", b"x").headers["idempotency-key"] for _ in range(100)}
    mine = calls.enroll("a", b"x", idempotency_key="mine")

    assert len(keys) == 100
    assert mine.headers["idempotency-key"] == "mine"


def test_numbers_that_are_none_are_refused_before_they_are_sent():
    with pytest.raises(ValueError, match="JSON"):
        calls.identify([float("nan"), 1.0])


def request(call: Call) -> httpx.Request:
    with httpx.Client(base_url="http://127.0.0.1:1") as http:
        return Exchange(call, Versions(), 0).request(http, iter)
