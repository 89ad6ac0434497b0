"""Bytes on their way in: read off a file, counted, inflated if they are gzip, and cut into even blocks."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO

from intake.errors import FileRefused, IntakeError, ReadingEnded

READ_BYTES = 256 * 1024
"""Read from a file at once."""
BLOCK_BYTES = 64 * 1024
"""What is parsed at once: some milliseconds of work, in which an event loop does nothing else. Chunks smaller than that
are joined, so that a sender who sends single bytes costs no more than another.
"""
INFLATED_BYTES_MAX = 16 << 30
"""A gigabyte of gzip holds some ten of text; what holds much more was made to do harm."""
GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW_BITS = 31
"""zlib's word for: gzip, with any window."""
GZIP_PIECE_BYTES = 16 * 1024
"""Each member behind another one copies the rest of its piece, so pieces are small."""


async def read_chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    """The bytes of an open file, read without holding up the event loop. Raises ReadingEnded if the disk fails."""
    while chunk := await asyncio.to_thread(_read, file):
        yield chunk


def _read(file: BinaryIO) -> bytes:
    try:
        return file.read(READ_BYTES)
    except OSError as error:
        raise ReadingEnded(f"the file could not be read on: {error.strerror or error}") from error


class Meter:
    """Passes chunks on and counts their bytes."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.bytes_read = 0

    def __aiter__(self) -> "Meter":
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self.bytes_read += len(chunk)
        return chunk


async def blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The bytes in blocks of BLOCK_BYTES, the last one shorter; inflated if they begin as gzip does. Raises FileRefused
    for gzip that is damaged, cut off, or holds too much.
    """
    gathered = bytearray()
    try:
        async for plain in _inflated(chunks):
            gathered += plain
            while len(gathered) >= BLOCK_BYTES:
                yield bytes(gathered[:BLOCK_BYTES])
                del gathered[:BLOCK_BYTES]
    except IntakeError:
        # What came before the end is good.
        yield bytes(gathered)
        raise
    if gathered:
        yield bytes(gathered)


async def _inflated(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= len(GZIP_MAGIC):
            break
    inflater = Inflater() if head.startswith(GZIP_MAGIC) else None
    for plain in inflater.feed(head) if inflater else (head,):
        yield plain
    async for chunk in chunks:
        for plain in inflater.feed(chunk) if inflater else (chunk,):
            yield plain
    if inflater:
        inflater.finish()


class Inflater:
    """Inflates gzip bit by bit, also several members one behind the other, as `cat` makes them."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(GZIP_WINDOW_BITS)
        self._inflated_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What `chunk` inflates to, in portions of at most BLOCK_BYTES."""
        for start in range(0, len(chunk), GZIP_PIECE_BYTES):
            yield from self._inflate(chunk[start : start + GZIP_PIECE_BYTES])

    def finish(self) -> None:
        """Raises FileRefused if the end has not come."""
        if not self._member.eof:
            raise FileRefused("the gzip data is cut off")

    def _inflate(self, piece: bytes) -> Iterator[bytes]:
        full = False
        while piece or full:
            if self._member.eof:
                piece = piece.lstrip(b"\0")
                if not piece:
                    return
                self._member = zlib.decompressobj(GZIP_WINDOW_BITS)
            try:
                plain = self._member.decompress(piece, BLOCK_BYTES)
            except zlib.error as error:
                raise FileRefused(f"the gzip data is damaged: {error}") from None
            self._inflated_bytes += len(plain)
            if self._inflated_bytes > INFLATED_BYTES_MAX:
                raise FileRefused(f"the gzip data holds more than {INFLATED_BYTES_MAX >> 30} GiB")
            yield plain
            piece = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            # With room left in the output, nothing is held back inside.
            full = len(plain) == BLOCK_BYTES and not self._member.eof
