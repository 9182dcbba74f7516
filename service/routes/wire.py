"""How a body is described in openapi.yaml: as multipart and as JSON, from one model."""

from typing import Any

from service.edge.problems import MEDIA_TYPE, Problem
from service.requests.fields import RequestFields

SAMPLE: dict[str, Any] = {
    "title": "Sample",
    "description": "An image, clip or text, or an embedding that is ready to be compared.",
    "oneOf": [
        {
            "type": "object",
            "required": ["base64"],
            "properties": {
                "base64": {"type": "string", "format": "byte"},
                "media_type": {"type": "string"},
            },
            "additionalProperties": False,
        },
        {
            "type": "object",
            "required": ["text"],
            "properties": {"text": {"type": "string"}},
            "additionalProperties": False,
        },
        {
            "type": "object",
            "required": ["embedding"],
            "properties": {"embedding": {"type": "array", "items": {"type": "number"}}},
            "additionalProperties": False,
        },
    ],
}
FILE = {"type": "string", "format": "binary"}
RAW: dict[str, Any] = {
    "image/*": {
        "schema": FILE,
        "examples": {"drawing": {"externalValue": "kindred/drawings/greek-01/4.png"}},
    },
    "audio/*": {"schema": FILE},
    "text/plain": {
        "schema": {"type": "string"},
        "examples": {"words": {"value": "a letter of the Greek alphabet"}},
    },
}

PROBLEM = {
    "description": "A problem; docs/problems.md tells each type",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def body(
    fields: type[RequestFields],
    *,
    one: tuple[str, ...] = (),
    many: tuple[str, ...] = (),
    archive: bool = False,
    raw: bool = False,
) -> dict[str, Any]:
    """Return the request body of a route: JSON, and multipart too where it takes samples.

    With `archive` these may come in one zip of folders instead; with `raw` one may be the body
    itself, with the fields in the query.
    """
    by_name = {"$ref": "#/components/schemas/Sample"}
    content = {"application/json": {"schema": _schema(fields, one, many, by_name)}}
    if one or many:
        content["multipart/form-data"] = {"schema": _schema(fields, one, many, FILE)}
    if archive:
        for media_type, sample in (("application/json", by_name), ("multipart/form-data", FILE)):
            content[media_type]["schema"]["properties"]["archive"] = sample
    described: dict[str, Any] = {"requestBody": {"required": True, "content": content}}
    if raw:
        content |= RAW
        described["parameters"] = [
            {
                "name": name,
                "in": "query",
                "description": "Where the body is a sample itself",
                "schema": {"type": "string"} if name in fields.documents else schema,
            }
            for name, schema in fields.model_json_schema()["properties"].items()
        ]
    return described


def leads_to(*operations: str, **parameters: str) -> dict[str, Any]:
    """Return the links of an answer: the calls that may follow it, with these parts of it.

    See "Link Object" and "Runtime Expressions" in OpenAPI 3.1.
    """
    return {
        "links": {name: {"operationId": name, "parameters": parameters} for name in operations}
    }


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the shapes that routes refer to by name, and every problem."""
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # the framework's own shape
            operation["responses"]["4XX"] = {"$ref": "#/components/responses/Problem"}
            operation["responses"]["5XX"] = {"$ref": "#/components/responses/Problem"}
    document["components"]["responses"] = {"Problem": PROBLEM}
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Sample"] = SAMPLE
    schemas["Problem"] = Problem.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _schema(
    fields: type[RequestFields],
    one: tuple[str, ...],
    many: tuple[str, ...],
    sample: dict[str, Any],
) -> dict[str, Any]:
    schema = fields.model_json_schema()
    samples = dict.fromkeys(one, sample)
    samples |= {name: {"type": "array", "items": sample} for name in many}
    schema["properties"] = samples | schema.get("properties", {})
    if required := [*one, *schema.get("required", [])]:
        schema["required"] = required
    return schema
