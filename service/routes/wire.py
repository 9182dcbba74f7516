"""How a body is described in openapi.yaml: as multipart and as JSON, from one model."""

from typing import Any

from service.edge.problems import MEDIA_TYPE, Problem
from service.requests.fields import RequestFields
from service.routes.examples import in_json, in_lines, in_parts, parameter_of

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
JSON, PARTS, LINES = "application/json", "multipart/form-data", "application/x-ndjson"
FILE = {"type": "string", "format": "binary"}
RAW: dict[str, Any] = {
    "image/*": {
        "schema": FILE,
        "examples": {"drawing": {"externalValue": "console/drawings/greek-01/4.png"}},
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
    shapes = {PARTS: FILE} if one or many else {}  # first: what a page offers at once
    shapes[JSON] = {"$ref": "#/components/schemas/Sample"}
    content = {
        media_type: {"schema": _schema(fields, one, many, sample)}
        for media_type, sample in shapes.items()
    }
    if archive:
        for media_type, sample in shapes.items():
            content[media_type]["schema"]["properties"]["archive"] = sample
    described: dict[str, Any] = {"requestBody": {"required": True, "content": content}}
    if raw:
        content |= RAW
        described["parameters"] = [
            {
                "name": name,
                "in": "query",
                "description": "Where the body is a sample itself",
                "schema": {"type": "string"} if name in fields.documents else _unsaid(schema),
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
    """Return the document with the shapes that routes refer to by name, and every problem.

    Each call gets its example.
    """
    for path in document["paths"].values():
        for operation in path.values():
            _give_example(operation)
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


def _give_example(operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["example"] = parameter_of(name, parameter["name"])
    content = operation.get("requestBody", {}).get("content", {})
    for media_type, example_of in ((PARTS, in_parts), (JSON, in_json), (LINES, in_lines)):
        if media_type in content:
            content[media_type]["example"] = example_of(name)
    if PARTS in content:
        _fill_in(content[PARTS]["schema"], content[PARTS]["example"])


def _fill_in(schema: dict[str, Any], example: dict[str, Any]) -> None:
    """Say what a form has in its fields at first: what the example has, or nothing.

    A form that is not told invents values.
    """
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        if FILE in (field, field.get("items")):
            continue
        if name in example:
            field["examples"] = [example[name]]
        elif name not in required:
            field.setdefault("default", None)


def _unsaid(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without its default, which a form would send where it may not."""
    return {key: value for key, value in schema.items() if key != "default"}


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
