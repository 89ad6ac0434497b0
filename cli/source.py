"""The file that is loaded: a regular file, a pipe, or a terminal."""

import asyncio
import os
import stat
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import click

from intake.chunks import READ_BYTES, read_chunks
from intake.errors import ReadingEnded

STANDARD_INPUT = "standard input"


class Source:
    """An open file with its name; its size is None where that is not known before the end."""

    def __init__(self, name: str, opened: BinaryIO) -> None:
        self.name = name
        self._opened = opened
        status = os.fstat(opened.fileno())
        self._is_regular = stat.S_ISREG(status.st_mode)
        self.size_bytes = status.st_size if self._is_regular else None

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes. Raises ReadingEnded if they stop coming before the end."""
        return read_chunks(self._opened) if self._is_regular else read_pipe(self._opened.fileno())


async def read_pipe(descriptor: int) -> AsyncIterator[bytes]:
    """The bytes of what may be silent for long. The thread that waits for them holds up no end of the process; one of
    the event loop's own threads would.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    wanted = threading.Semaphore()

    def read() -> None:
        chunk: bytes | OSError = b"-"
        while chunk and not isinstance(chunk, OSError):
            wanted.acquire()
            try:
                chunk = os.read(descriptor, READ_BYTES)
            except OSError as error:
                chunk = error
            try:
                loop.call_soon_threadsafe(arrived.put_nowait, chunk)
            except RuntimeError:
                # The loop has ended: nobody waits any more.
                return

    threading.Thread(target=read, daemon=True).start()
    while chunk := await arrived.get():
        if isinstance(chunk, OSError):
            raise ReadingEnded(f"the file could not be read on: {chunk.strerror}")
        wanted.release()
        yield chunk


def open_source(path: Path, stack: ExitStack) -> Source:
    """Opens a file, or standard input for `-`, until `stack` is left."""
    if str(path) == "-":
        return Source(STANDARD_INPUT, sys.stdin.buffer)
    try:
        return Source(path.name, stack.enter_context(path.open("rb")))
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from None
