"""An example of each call: openapi.yaml shows it, and a test sends it."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
DRAWINGS = "kindred/drawings"  # which the demonstration has, too

FIRST, SECOND, THIRD, OTHER, ANOTHER = (
    f"{DRAWINGS}/{name}.png"
    for name in ("greek-01/1", "greek-01/2", "greek-01/3", "greek-02/1", "greek-02/2")
)
SAMPLES = ("a", "b", "files")

PARAMETERS: Mapping[str, Any] = {
    "gallery": "default",
    "identity": "alpha",
    "sample": "1",
    "version": 1,
    "decision": "0123456789abcdef01234567",
    "rejection": "0123456789abcdef",
    "name": "ink",
}
"""What stands in a path, if its operation is none of the next."""

OF_A_GALLERY_OF_ITS_OWN: Mapping[str, str] = {
    "delete_gallery": "greek",
    "import_gallery": "greek-copy",
    "migrate_gallery": "greek",
    "get_migration": "greek",
    "end_migration": "greek",
    "switch_comparator": "greek",
    "roll_back_comparator": "greek",
    "finish_migration": "greek",
}

FIELDS: Mapping[str, Mapping[str, Any]] = {
    "verify": {"a": FIRST, "b": SECOND},
    "embed": {"files": [FIRST]},
    "cluster": {"files": [FIRST, SECOND, OTHER]},
    "enroll": {"files": [FIRST, SECOND], "identity": "alpha"},
    "identify": {"files": [THIRD]},
    "give_feedback": {"decision": PARAMETERS["decision"], "verdict": "reject"},
    "evaluate": {
        "files": [FIRST, SECOND, OTHER, ANOTHER],
        "identities": ["alpha", "alpha", "beta", "beta"],
    },
    "create_gallery": {"name": "greek", "keep_samples": True},
    "update_gallery": {"target_fpir": 0.1},
    "put_cohort": {"files": [OTHER, ANOTHER], "identities": ["beta", "beta"]},
    "migrate_gallery": {"comparator": "ink@2"},
    "switch_comparator": {},
    "roll_back_comparator": {},
    "update_identity": {"metadata": {"letter": "α"}},
    "split_identity": {"identity": "alpha", "samples": ["2"], "into": "beta"},
    "merge_identities": {"from": "beta", "into": "alpha"},
    "undo_edit": {},
}
"""The fields that a body needs; a sample is a file of the repository."""

EXPORTED: Mapping[str, Any] = {
    "format": 1,
    "name": "greek",
    "comparator": "ink@1",
    "digest": "0b3679a8103fce3115ac4d23ad9565dd82f25a32d88faf97bdb7d73bdc7b1161",
    "settings": {
        "rule": None,
        "target_fpir": None,
        "prior_known": None,
        "keep_samples": False,
        "references": "b",
    },
    "created": "2026-01-01T00:00:00.000+00:00",
    "version": 0,
}
COUNTED = ("version", "identities", "samples", "last_identity", "last_sample", "strangers")


def parameter_of(operation: str, name: str) -> Any:
    """Return what stands in the path of an example."""
    own = OF_A_GALLERY_OF_ITS_OWN.get(operation) if name == "gallery" else None
    return own or PARAMETERS[name]


def in_parts(operation: str) -> dict[str, Any]:
    """Return a body of parts; a file is told by its path."""
    return dict(FIELDS[operation])


def in_json(operation: str) -> dict[str, Any]:
    """Return a body of JSON."""
    return {name: _in_json(name, value) for name, value in FIELDS[operation].items()}


def in_lines(operation: str) -> str:
    """Return a body of lines: two enrollments, or the export of an empty gallery."""
    if operation == "enroll_bulk":
        return _lines(*({"identity": "beta"} | _sample(path) for path in (OTHER, ANOTHER)))
    gallery = _lines({"gallery": EXPORTED})
    checksum = hashlib.sha256(gallery.encode()).hexdigest()
    return gallery + _lines({"end": dict.fromkeys(COUNTED, 0) | {"sha256": checksum}})


def _in_json(name: str, value: Any) -> Any:
    if name not in SAMPLES:
        return value
    return _sample(value) if isinstance(value, str) else [_sample(path) for path in value]


def _sample(path: str) -> dict[str, str]:
    return {"base64": base64.b64encode((ROOT / path).read_bytes()).decode()}


def _lines(*documents: Mapping[str, Any]) -> str:
    return "".join(f"{json.dumps(document)}\n" for document in documents)
