"""A stream of bytes as lines, each of bounded length."""

from collections.abc import AsyncIterator

from service.uploads import TooLarge


async def split_lines(chunks: AsyncIterator[bytes], longest: int) -> AsyncIterator[bytes]:
    """Yield each line without its newline; raise TooLarge once one is over `longest` bytes."""
    begun: list[bytes] = []  # pieces of a line that has not ended yet
    size = 0
    async for chunk in chunks:
        for i, piece in enumerate(chunk.split(b"\n")):
            if i:
                yield b"".join(begun)
                begun, size = [], 0
            begun.append(piece)
            size += len(piece)
            if size > longest:
                raise TooLarge(f"expected lines of at most {longest} bytes")
    if size:
        yield b"".join(begun)
