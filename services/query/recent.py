"""Answers that are dear, given again for a while: what grows with the number of leads is worked out rarely instead.

An answer that took long is given to all who ask the same for a multiple of that time, and those who come while it is
being worked out wait for it. So a question takes a bounded share of the database, however many ask it, and one whose
answer is quick, as with some hundred thousand leads, is always answered anew.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any

DEAR_S = 0.25
"""Quicker answers are not kept: whoever asks sees what is so now."""
KEPT_TIMES = 50
"""An answer is kept so many times as long as it took: its question takes a fiftieth of one processor."""
KEPT_S_MAX = 15.0
"""So old an answer may be, and what it took to work it out: soon enough for a list that people look at."""
ANSWERS_MAX = 100
"""Answers have some 100 KB at most, and few questions are asked again and again."""

Answer = Any
WorkOut = Callable[[], Awaitable[Answer]]


@dataclass(eq=False)
class Kept:
    """An answer, or the work on it."""

    task: "asyncio.Future[Answer]"
    until: float = float("inf")


class Recent:
    """The answers of one process."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: dict[Hashable, Kept] = {}

    async def answer(self, question: Hashable, work_out: WorkOut, *, anew: bool) -> Answer:
        """The answer to a question: one that is kept, or one that is worked out now, in any case if `anew`. Raises what
        that raises.
        """
        kept = self._kept.get(question)
        if kept is None or anew or kept.until <= self._now():
            kept = self._begin(question, work_out)
        # Others may wait for it, too.
        return await asyncio.shield(kept.task)

    def _begin(self, question: Hashable, work_out: WorkOut) -> Kept:
        kept = Kept(asyncio.ensure_future(work_out()))
        started = self._now()

        def done(task: "asyncio.Future[Answer]") -> None:
            took_s = self._now() - started
            if task.cancelled() or task.exception() is not None or took_s < DEAR_S:
                if self._kept.get(question) is kept:
                    del self._kept[question]
            else:
                kept.until = self._now() + min(KEPT_S_MAX, KEPT_TIMES * took_s)

        kept.task.add_done_callback(done)
        self._kept.pop(question, None)
        self._kept[question] = kept
        for oldest in list(self._kept)[: max(0, len(self._kept) - ANSWERS_MAX)]:
            del self._kept[oldest]
        return kept
