"""Work that is begun at a steady rate, whether what was begun before has ended or not."""

import asyncio
import time
from collections.abc import AsyncIterator

TIMER_S = 0.001
"""asyncio's timers wake by whole milliseconds: so late something is begun though nothing was in its way."""


async def steadily(rate: int, number: int) -> AsyncIterator[float]:
    """So many moments, each as soon as it has come, by `time.perf_counter`: when something should have begun. A queue
    in the client counts; the timer's grain does not.
    """
    started = time.perf_counter()
    for place in range(number):
        due = started + place / rate
        if (wait_s := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        yield min(time.perf_counter(), due + TIMER_S)
