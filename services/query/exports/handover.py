"""Pieces of a file on their way from who makes them to who takes them."""

import asyncio
import contextlib
from collections import deque


class Handover:
    """Holds at most `pieces_max` pieces. Who takes nothing for long costs that much memory, and nothing else."""

    def __init__(self, pieces_max: int) -> None:
        self._pieces: deque[bytes] = deque()
        self._pieces_max = pieces_max
        self._moved = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None

    async def put(self, piece: bytes, timeout_s: float) -> bool:
        """Waits for room, and puts a piece there; False if there was none in time, and then the piece is not taken."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while len(self._pieces) >= self._pieces_max:
                    await self._wait()
        if len(self._pieces) >= self._pieces_max:
            return False
        self._pieces.append(piece)
        self._moved.set()
        return True

    async def take(self, timeout_s: float) -> bytes | None:
        """The next piece; empty if none came in time, None at the end. Raises the error with which it was ended, at
        once: nobody needs the rest of a file that will not be whole.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self._pieces and not self._ended:
                    await self._wait()
        if self._error is not None:
            raise self._error
        if self._pieces:
            self._moved.set()
            return self._pieces.popleft()
        return None if self._ended else b""

    def end(self, error: BaseException | None = None) -> None:
        """No more pieces come; with an error, those that wait are dropped."""
        self._ended, self._error = True, error
        if error is not None:
            self._pieces.clear()
        self._moved.set()

    async def _wait(self) -> None:
        self._moved.clear()
        await self._moved.wait()
