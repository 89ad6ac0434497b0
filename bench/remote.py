"""An object in a process of its own, whose methods are asked from here."""

import asyncio
import multiprocessing
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import uvloop

STOP_GRACE_S = 10.0


class Remote:
    """The process, while the context is open. It ends with this one."""

    def __init__(self, kind: type[Any]) -> None:
        """`kind` is made without arguments over there; what is asked of it are coroutines."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(kind, theirs), daemon=True)

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process.pid is not None
        return self._process.pid

    async def __aenter__(self) -> "Remote":
        await asyncio.to_thread(self._process.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        await asyncio.to_thread(self._process.join, STOP_GRACE_S)

    async def ask(self, verb: str, *arguments: Any) -> Any:
        """Calls a method and waits for its answer; one at a time."""
        self._pipe.send((verb, arguments))
        return await asyncio.to_thread(self._pipe.recv)


def _run(kind: type[Any], pipe: Connection) -> None:
    uvloop.run(_obey(kind, pipe))


async def _obey(kind: type[Any], pipe: Connection) -> None:
    there = kind()
    while True:
        verb, arguments = await asyncio.to_thread(pipe.recv)
        pipe.send(await getattr(there, verb)(*arguments))
