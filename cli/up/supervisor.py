"""Keeps parts running: one that dies or does not answer is started again, after a wait that grows while it fails."""

import asyncio
import signal
from collections.abc import Callable

from cli.up.parts import Part
from embedded.child import StartError

Say = Callable[[str], None]
"""Tells the user a line."""

LOOK_INTERVAL_S = 2.0
"""How often a part is asked whether it is well."""
UNWELL_MAX = 3
"""So many bad answers in a row are no accident."""
WAIT_S_MIN = 0.5
WAIT_S_MAX = 15.0
WELL_FOR_S = 60.0
"""A part that ran so long before it failed starts again without a grown wait."""


async def keep_running(part: Part, say: Say) -> None:
    """Watches a part that was started, and starts it again whenever need be, for ever."""
    loop = asyncio.get_running_loop()
    wait_s = WAIT_S_MIN
    while True:
        started = loop.time()
        why = await _failure(part)
        if loop.time() - started > WELL_FOR_S:
            wait_s = WAIT_S_MIN
        await part.kill()
        say(f"{part.name} {why}; it starts again in {wait_s:g} s")
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, WAIT_S_MAX)
        try:
            await part.start()
            say(f"{part.name} runs again (pid {part.child.pid})")
        except StartError as error:
            say(str(error))


async def _failure(part: Part) -> str:
    """Waits until a part has died or is not well, and says which."""
    unwell = 0
    while unwell < UNWELL_MAX:
        ending = asyncio.ensure_future(part.child.ended())
        done, _ = await asyncio.wait([ending], timeout=LOOK_INTERVAL_S)
        ending.cancel()
        if done:
            return f"has ended ({_exit(ending.result(), part)})"
        unwell = 0 if await part.healthy() else unwell + 1
    return "does not answer"


def _exit(code: int, part: Part) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}: {part.child.last_words()}" if code else "exit code 0"
