"""A stream of bytes as lines, each of bounded length."""

from collections.abc import AsyncIterator

from service.requests.upload import TooLarge


async def split_lines(chunks: AsyncIterator[bytes], longest: int) -> AsyncIterator[bytes]:
    """Yield each line without its newline; raise TooLarge once one is over `longest` bytes."""
    async for lines in split_chunks(chunks, longest):
        for line in lines:
            yield line


async def split_chunks(chunks: AsyncIterator[bytes], longest: int) -> AsyncIterator[list[bytes]]:
    """Yield the same lines as they come: those that end in one chunk together."""
    begun: list[bytes] = []  # pieces of a line that has not ended yet
    size = 0
    async for chunk in chunks:
        lines = []
        for i, piece in enumerate(chunk.split(b"\n")):
            if i:
                lines.append(b"".join(begun))
                begun, size = [], 0
            begun.append(piece)
            size += len(piece)
            if size > longest:
                yield lines
                raise TooLarge(f"expected lines of at most {longest} bytes")
        yield lines
    if size:
        yield [b"".join(begun)]
