"""What openapi.yaml promises, asked of a real service by cases that are made from it."""

from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ensure_resource_availability,
    response_headers_conformance,
    response_schema_conformance,
    use_after_free,
)

from tests.promises.openapi import PATH
from tests.services import Service

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
BETWEEN_CALLS = [use_after_free, ensure_resource_availability]
CAUSED = ("replica-behind", "overloaded")  # the 503 that a client can ask for
LEFT_OUT = ["evaluate", "enroll_bulk", "import_gallery"]
"""One takes seconds a case; of NDJSON no cases are made. All three are tested elsewhere."""

schemathesis.serializer.alias("audio/wav", "application/octet-stream")  # it knows pictures
schema = schemathesis.openapi.from_path(PATH).exclude(operation_id=LEFT_OUT)


ALIKE = {"derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}


def hold_to_schema(case, response, checks):
    """Raise unless the response is one that openapi.yaml tells of."""
    if response.status_code == 503:
        assert any(cause in response.text for cause in CAUSED), response.text
        return
    case.validate_response(response, checks=checks)


@schema.parametrize()
@settings(max_examples=25, **ALIKE)
def test_no_case_is_answered_other_than_openapi_says(case, running_service):
    hold_to_schema(case, case.call(base_url=running_service.url), CHECKS)


def test_no_chain_of_calls_is_answered_other_than_openapi_says(tmp_path, bundles):
    service = Service(tmp_path / "var", bundles).start().wait_ready()
    seen = Counter()

    class Calls(schema.as_state_machine()):
        def setup(self):  # each chain finds the same, or none could be repeated
            with service.client() as client:
                for gallery in client.get("/galleries").json()["galleries"]:
                    client.delete(f"/galleries/{gallery['name']}").raise_for_status()

        def get_call_kwargs(self, case):
            return {"base_url": service.url}

        def validate_response(self, response, case, **kwargs):
            seen[case.method, response.status_code] += 1
            hold_to_schema(case, response, [*CHECKS, *BETWEEN_CALLS])

    try:
        Calls.run(settings=settings(max_examples=60, stateful_step_count=12, **ALIKE))
    finally:
        assert service.stop() == 0, service.log.read_text()
    assert {("POST", 201), ("DELETE", 200), ("GET", 200), ("GET", 404)} <= set(seen)
