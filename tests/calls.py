"""A request for each operation of the service, by the gallery that it is about."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from tests.drawings import draw, part
from tests.promises.openapi import document

Request = tuple[str, str, dict[str, Any]]  # method, path, what httpx takes beside

FILES = [part(draw(1))]
SAME_REQUEST = {"X-Request-Id": "same"}


def _get(path: str) -> Callable[[str], Request]:
    return lambda gallery: ("GET", path.format(gallery=gallery), {})


def _form(path: str, **fields: str) -> Callable[[str], Request]:
    return lambda gallery: (
        "POST",
        path.format(gallery=gallery),
        {"files": FILES, "data": {k: v.format(gallery=gallery) for k, v in fields.items()}},
    )


def _json(method: str, path: str, **fields: Any) -> Callable[[str], Request]:
    return lambda gallery: (
        method,
        path.format(gallery=gallery),
        {"json": json.loads(json.dumps(fields).replace("GALLERY", gallery))},
    )


def _delete(path: str) -> Callable[[str], Request]:
    return lambda gallery: ("DELETE", path.format(gallery=gallery), {})


def _evaluate(gallery: str) -> Request:
    """Ask what is refused as soon as there is such a gallery: another comparator than its own."""
    fields = {"gallery": gallery, "identities": ["a", "b"], "comparator": "wide"}
    return "POST", "/evaluate", {"files": [part(draw(i)) for i in range(2)], "data": fields}


def _bulk(gallery: str) -> Request:
    return (
        "POST",
        "/enroll/bulk",
        {"params": {"gallery": gallery}, "content": b'{"identity": "x"}\n'},
    )


IDENTITY = "/galleries/{gallery}/identities/somebody"

OF_A_GALLERY: Mapping[str, Callable[[str], Request]] = {
    "identify": _form("/identify", gallery="{gallery}"),
    "enroll": _form("/enroll", gallery="{gallery}", identity="somebody"),
    "enroll_bulk": _bulk,
    "cluster": _json("POST", "/cluster", gallery="GALLERY"),
    "evaluate": _evaluate,
    "get_gallery": _get("/galleries/{gallery}"),
    "check_gallery": _get("/galleries/{gallery}/health"),
    "get_operating_curve": _get("/galleries/{gallery}/operating-curve"),
    "get_boundary": _get("/galleries/{gallery}/operating-curve/boundary"),
    "map_gallery": _get("/galleries/{gallery}/map"),
    "export_gallery": _get("/galleries/{gallery}/export"),
    "delete_gallery": _delete("/galleries/{gallery}"),
    "put_cohort": _form("/galleries/{gallery}/cohort"),
    "list_identities": _get("/galleries/{gallery}/identities"),
    "get_identity": _get(IDENTITY),
    "update_identity": _json("PATCH", IDENTITY, metadata={"a": 1}),
    "update_gallery": _json("PATCH", "/galleries/{gallery}", target_fpir=0.2),
    "merge_identities": _json("POST", "/galleries/{gallery}/merge", **{"from": "x", "into": "y"}),
    "split_identity": _json(
        "POST", "/galleries/{gallery}/split", identity="x", samples=["1"], into="y"
    ),
    "similar_identities": _get(f"{IDENTITY}/similar"),
    "list_edits": _get("/galleries/{gallery}/edits"),
    "undo_edit": _json("POST", "/galleries/{gallery}/undo", version=1),
    "forget_identity": _delete(IDENTITY),
    "forget_sample": _delete(f"{IDENTITY}/samples/1"),
    "get_preview": _get(IDENTITY + "/samples/1/preview"),
    "list_rejections": _get("/galleries/{gallery}/rejections"),
    "take_rejection_back": _delete("/galleries/{gallery}/rejections/0123456789abcdef"),
    "get_receipt": _get("/galleries/{gallery}/receipts/1"),
    "migrate_gallery": _json("POST", "/galleries/{gallery}/migrate", comparator="wide@1"),
    "get_migration": _get("/galleries/{gallery}/migration"),
    "switch_comparator": _json("POST", "/galleries/{gallery}/migration/switch"),
    "roll_back_comparator": _json("POST", "/galleries/{gallery}/migration/rollback"),
    "finish_migration": _json("POST", "/galleries/{gallery}/migration/finish"),
    "end_migration": _delete("/galleries/{gallery}/migration"),
}
"""Operations on a gallery that there is."""

MAKING_A_GALLERY: Mapping[str, Callable[[str], Request]] = {
    "create_gallery": _json("POST", "/galleries", name="GALLERY"),
    "import_gallery": lambda gallery: (
        "POST",
        f"/galleries/{gallery}/import",
        {"content": b"{}\n"},
    ),
}
"""Operations after which there is one."""

OF_NO_GALLERY: Mapping[str, Callable[[str], Request]] = {
    "verify": lambda _: ("POST", "/verify", {"files": [part(draw(1), "a"), part(draw(2), "b")]}),
    "embed": _form("/embed"),
    "get_decision": _get("/decisions/0123456789abcdef01234567"),
    "give_feedback": _json(
        "POST", "/feedback", decision="0123456789abcdef01234567", verdict="confirm"
    ),
    "list_galleries": _get("/galleries"),
    "about": _get("/"),
    "list_comparators": _get("/comparators"),
    "get_comparator": _get("/comparators/tiny"),
    "live": _get("/health/live"),
    "ready": _get("/health/ready"),
    "metrics": _get("/metrics"),
}

EVERY = {**OF_A_GALLERY, **MAKING_A_GALLERY, **OF_NO_GALLERY}


def operations() -> set[str]:
    """Return the name of every operation that the application has a route for."""
    return {op["operationId"] for path in document()["paths"].values() for op in path.values()}


def send(client: httpx.Client, request: Request, **headers: str) -> httpx.Response:
    """Send a request, each under the same id."""
    method, path, more = request
    return client.request(method, path, headers=SAME_REQUEST | headers, **more)


def told(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """Return all that an answer tells, but when it was given."""
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, headers, answer.content
