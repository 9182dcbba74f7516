"""What came in one request, as a value, and what it may hold."""

from dataclasses import dataclass, field
from typing import Any

from models_store import Given
from service.parameters import InvalidParameter


class TooLarge(Exception):
    """The request holds more than the limits allow; the message says which limit."""


class UnsupportedMedia(Exception):
    """The body is of a kind that is not read here."""


class MalformedBody(Exception):
    """The body breaks the grammar of its media type."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What one request may hold; bytes and counts. `archive` is of the part of that name.

    `numbers` are those of all embeddings together, where that is more than any other JSON has.
    """

    body: int
    file: int
    files: int
    embeddings: int
    archive: int = 0
    numbers: int = 0

    def longest(self, name: str) -> int:
        """Return how many bytes a part of this name may have."""
        return max(self.archive, self.file) if name == "archive" else self.file


@dataclass(frozen=True, slots=True)
class Upload:
    """A request's body, whichever way it came: samples by field name, and the other fields.

    `textual` tells that all fields are strings, as multipart has them. `filenames` are what the
    client calls its files, by field name, and None where it does not say.
    """

    samples: dict[str, list[Given]] = field(default_factory=dict)
    filenames: dict[str, list[str | None]] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    textual: bool = False

    def one(self, name: str) -> Given:
        """Return the only sample under a name; raise InvalidParameter if there is not just one."""
        samples = self.samples.get(name, [])
        if len(samples) != 1:
            raise InvalidParameter(name, f"expected one sample, got {len(samples)}")
        return samples[0]

    def many(self, name: str) -> list[Given]:
        """Return the samples under a name; raise InvalidParameter if there is none."""
        if not self.samples.get(name):
            raise InvalidParameter(name, "expected at least one sample")
        return self.samples[name]
