"""How the parts of a process end."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from services.shared import lifecycle
from services.shared.lifecycle import Process


async def test_a_task_whose_library_swallows_a_cancellation_is_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle, "CANCEL_AGAIN_S", 0.01)
    swallowed = 0

    async def follow() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    async with AsyncExitStack() as stack:
        task = asyncio.create_task(follow())
        Process().watch(stack, task)
        await asyncio.sleep(0)
    assert task.cancelled() and swallowed == 3
