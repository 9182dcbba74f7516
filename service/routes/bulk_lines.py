"""A line of NDJSON as what it asks for."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from models_store import ReadyEmbedding
from models_store.comparator import Array
from service.parameters import InvalidParameter
from service.quick_json import read_embedding
from service.requests.fields import BulkLine, bound_metadata
from service.requests.strict_json import parse_json, read_sample
from service.use_cases.enrolling import Asked

MOST_VALUES = 2**16  # of one line: an embedding and metadata


def read_lines(lines: Sequence[bytes], longest_metadata: int) -> list[Asked | Exception]:
    """Return what each line asks for, or why it cannot be read.

    Embeddings of one width are read all at once, in a tenth of the time.
    """
    quick = {i: read for i, line in enumerate(lines) if (read := read_embedding(line))}
    rows = _rows({i: numbers for i, (_, numbers) in quick.items()})
    asked: list[Asked | Exception] = []
    for i, line in enumerate(lines):
        try:
            if (row := rows.get(i)) is not None:
                said = _said(quick[i][0], longest_metadata)
                asked.append(Asked(said.identity, [ReadyEmbedding(row)], said.metadata))
            else:
                asked.append(_read(line, longest_metadata))
        except Exception as error:  # noqa: BLE001 - it is this line's outcome
            asked.append(error)
    return asked


def _read(line: bytes, longest_metadata: int) -> Asked:
    document = parse_json(line, MOST_VALUES)
    if not isinstance(document, dict):
        raise InvalidParameter("line", "expected a JSON object")
    named = {"identity", "metadata"}
    said = _said({k: v for k, v in document.items() if k in named}, longest_metadata)
    sample = read_sample({k: v for k, v in document.items() if k not in named}, "line")
    return Asked(said.identity, [sample], said.metadata)


def _said(fields: dict[str, Any], longest_metadata: int) -> BulkLine:
    said = BulkLine.read(fields, strict=True)
    bound_metadata(said.metadata, longest_metadata)
    return said


def _rows(lists: dict[int, list[Any]]) -> dict[int, Array]:
    """Return as float32 those lists that are numbers, and of the width that most of them have."""
    if not lists:
        return {}
    [(width, _)] = Counter(map(len, lists.values())).most_common(1)
    alike = [i for i, numbers in lists.items() if len(numbers) == width]
    try:
        exact = np.array([lists[i] for i in alike], np.float64)
    except (TypeError, ValueError, OverflowError):
        return {}
    with np.errstate(over="ignore"):
        rows = exact.astype(np.float32)
    if rows.shape != (len(alike), width):
        return {}
    fit = np.flatnonzero(np.isfinite(rows).all(axis=1))
    return {alike[row]: rows[row] for row in fit.tolist()}
