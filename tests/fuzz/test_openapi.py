"""What openapi.yaml promises, asked of a real service by cases that are made from it."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

from tests.promises.openapi import PATH

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
CAUSED = ("replica-behind", "overloaded")  # the 503 that a client can ask for
LEFT_OUT = ["evaluate", "enroll_bulk", "import_gallery"]
"""One takes seconds a case; of NDJSON no cases are made. All three are tested elsewhere."""

schema = schemathesis.openapi.from_path(PATH).exclude(operation_id=LEFT_OUT)


@schema.parametrize()
@settings(
    max_examples=25,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_case_is_answered_other_than_openapi_says(case, running_service):
    response = case.call(base_url=running_service.url)

    if response.status_code == 503:
        assert any(cause in response.text for cause in CAUSED), response.text
        return
    case.validate_response(response, checks=CHECKS)
