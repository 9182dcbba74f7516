"""The parts of a multipart body, collected as they come and within limits."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.requests.plain_multipart import Part
from service.requests.upload import MalformedBody, TooLarge, UnsupportedMedia, UploadLimits

MOST_PARTS_BESIDE_SAMPLES = 16
MOST_PARTS_A_SAMPLE = 3  # the file, whose it is, and which group they belong to
LONGEST_FIELD = 2**16  # bytes of a part that is no sample
MOST_BESIDE = 2**14  # bytes around a part: boundaries, headers, and what stands between
PLAIN = (b"7bit", b"8bit", b"binary")  # transfer encodings that change nothing


@dataclass(slots=True)
class _Part:
    """A part that is being read."""

    name: str = ""
    filename: str | None = None
    content: bytearray = field(default_factory=bytearray)


class PartReader:
    """Collects the parts that python-multipart finds, and stops at the first limit passed."""

    def __init__(self, limits: UploadLimits, sample_fields: tuple[str, ...]) -> None:
        self.limits = limits
        self.ended = False
        self._parts: list[_Part] = []
        self._most = MOST_PARTS_A_SAMPLE * limits.files + MOST_PARTS_BESIDE_SAMPLES
        self._sample_fields = sample_fields
        self._beside = 0  # bytes that are no part's content
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""

    def callbacks(self) -> Any:
        """Return what the parser calls, by its names for it."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, i, j: self._header.extend(data[i:j]),
            "on_header_value": lambda data, i, j: self._value.extend(data[i:j]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add,
            "on_end": self._end,
        }

    def admits(self, parts: list[Part]) -> bool:
        """Say whether these are all within the limits."""
        return len(parts) <= self._most and all(
            len(part.content) <= self._longest(part.name) for part in parts
        )

    def parts(self) -> Iterator[Part]:
        """Yield what was collected, each part once."""
        for part in self._parts:
            content = bytes(part.content)
            part.content.clear()
            yield Part(part.name, part.filename, content)

    def received(self, count: int) -> None:
        """Tell how many bytes come next; raise TooLarge if too many before were of no use."""
        if self._beside > MOST_BESIDE * (len(self._parts) + 1):
            raise TooLarge(f"expected at most {MOST_BESIDE} bytes beside each part")
        self._beside += count

    def _begin(self) -> None:
        if len(self._parts) >= self._most:
            raise TooLarge(f"expected at most {self.limits.files} files")
        self._parts.append(_Part())
        self._disposition = b""

    def _end_header(self) -> None:
        value = bytes(self._value)
        match bytes(self._header).lower():
            case b"content-disposition":
                self._disposition = value
            case b"content-transfer-encoding" if value.lower() not in PLAIN:
                raise UnsupportedMedia("expected parts without Content-Transfer-Encoding")
            case b"content-type" if value.lower().startswith(b"multipart/"):
                raise UnsupportedMedia("expected parts that are not multipart themselves")
        self._header.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise MalformedBody("expected every part to have a name")
        part = self._parts[-1]
        part.name = options[b"name"].decode("utf-8", "replace")
        if b"filename" in options:
            part.filename = options[b"filename"].decode("utf-8", "surrogateescape")

    def _add(self, data: bytes, start: int, end: int) -> None:
        part = self._parts[-1]
        part.content.extend(data[start:end])
        self._beside -= end - start
        longest = self._longest(part.name)
        if len(part.content) > longest:
            what = "files" if part.name in self._sample_fields else "plain fields"
            raise TooLarge(f"expected {what} of at most {longest} bytes")

    def _longest(self, name: str) -> int:
        return self.limits.longest(name) if name in self._sample_fields else LONGEST_FIELD

    def _end(self) -> None:
        self.ended = True


async def collect(chunks: AsyncIterator[bytes], boundary: bytes, reader: PartReader) -> None:
    """Have a reader collect the parts of a body, which is never held twice."""
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for chunk in chunks:
            reader.received(len(chunk))
            parser.write(chunk)
        reader.received(0)
        parser.finalize()
    except FormParserError as error:
        raise MalformedBody("expected a multipart body that follows its boundary") from error
    if not reader.ended:
        raise MalformedBody("the multipart body ends before its closing boundary")
