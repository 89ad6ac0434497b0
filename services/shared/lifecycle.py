"""The life of a process: start its parts, run until a signal, stop them last in, first out, under one deadline."""

import asyncio
import faulthandler
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import uvloop

from services.shared.errors import LeadscoreError, StreamInterrupted
from services.shared.settings import Settings, read_settings
from services.shared.telemetry import set_up_logging

YOUNG_OBJECTS_MAX = 50_000
"""Objects more than there were, before the collector looks for cycles among them. With the default of 700 it looks at
the values of every request, which have none."""
STOP_DEADLINE_S = 10.0
"""Longer than any part's own grace; after it the process ends anyway and what it held is recovered by the others."""
HELD = "--held"
"""The argument of a process that is started before what it needs is there."""
CANCEL_AGAIN_S = 1.0
"""How long a task has to end before it is cancelled once more: what it closes takes a fraction of that."""

Start = Callable[[Settings, AsyncExitStack, "Process"], Awaitable[None]]

logger = logging.getLogger(__name__)


class Process:
    """What the parts of a process can say to it."""

    def __init__(self) -> None:
        self._stopped = asyncio.Event()
        self._failure: BaseException | None = None
        self.port = 0
        """Where the process listens, once it does."""

    def stop(self) -> None:
        """Asks the process to stop, in order."""
        self._stopped.set()

    def stream_lost(self) -> None:
        """Stops the process with an error: the connection to the stream is closed for good."""
        self._failure = StreamInterrupted("the connection to the stream is closed for good")
        self.stop()

    def watch(self, stack: AsyncExitStack, task: "asyncio.Task[None]") -> None:
        """Has `task` cancelled when the stack is left, and stops the process with its error should it fail before."""
        task.add_done_callback(self._ended)
        stack.push_async_callback(_cancel, task)

    async def stopped(self) -> None:
        """Waits until the process is asked to stop. Raises what made it stop if that was a failure."""
        await self._stopped.wait()
        if self._failure is not None:
            raise self._failure

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self.stop()


async def _cancel(task: "asyncio.Task[None]") -> None:
    while not task.done():  # asyncio.wait_for of Python 3.11, which libraries use, may swallow a cancellation.
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_S)


def wait_until_released() -> None:
    """Whoever has started this process with HELD, so that it has imported what it needs when its turn comes, says that
    by closing its standard input.
    """
    if HELD in sys.argv:
        sys.stdin.buffer.read()


def run(name: str, start: Start, young_objects_max: int = YOUNG_OBJECTS_MAX) -> None:
    """Runs a process until SIGTERM or SIGINT. `start` puts its parts on the stack, each with its own way to stop."""
    faulthandler.enable()
    wait_until_released()
    try:
        settings = read_settings()
        set_up_logging(settings.log_level)
        uvloop.run(_run(name, settings, start, young_objects_max))
    except LeadscoreError as error:
        print(f"{name}: {error}", file=sys.stderr)
        raise SystemExit(1) from None


async def _run(name: str, settings: Settings, start: Start, young_objects_max: int) -> None:
    process = Process()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stop)
    stack = AsyncExitStack()
    try:
        await start(settings, stack, process)
        gc.collect()
        gc.freeze()
        gc.set_threshold(young_objects_max)
        logger.info("%s is ready", name)
        await process.stopped()
    finally:
        logger.info("%s stops", name)
        async with asyncio.timeout(STOP_DEADLINE_S):
            await stack.aclose()
