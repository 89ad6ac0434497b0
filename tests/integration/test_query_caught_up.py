"""Waiting for consistency tokens: no longer than needed, no longer than allowed, and cheap for many."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from services.shared import caught_up as room
from services.shared import database
from services.shared.caught_up import CaughtUp
from services.shared.errors import InvalidRequest, NotCaughtUp
from services.shared.settings import Settings
from services.shared.tokens import encode_positions


class Call:
    """All that the waiting needs of a call's context."""

    def __init__(self, remaining_s: float | None = 20.0) -> None:
        self._remaining_s = remaining_s

    def time_remaining(self) -> float | None:
        return self._remaining_s


CALL: Any = Call()


@pytest.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    async with database.connect(settings, name="test", connections_max=2, read_only=True) as engine:
        yield engine


@pytest.fixture
def looks(engine: AsyncEngine) -> list[str]:
    """The statements that asked for positions."""
    statements: list[str] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def listen(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if "partitions" in statement:
            statements.append(statement)

    return statements


def commit(settings: Settings, positions: dict[int, int]) -> None:
    """What a scorer does to the positions."""
    with psycopg.connect(settings.database_url) as connection:
        for partition, position in positions.items():
            connection.execute(
                "INSERT INTO partitions (partition, position) VALUES (%s, %s)"
                " ON CONFLICT (partition) DO UPDATE SET position = excluded.position",
                [partition, position],
            )


async def test_without_a_token_nothing_is_asked(engine: AsyncEngine, looks: list[str]) -> None:
    await CaughtUp(engine).wait("", CALL)
    assert looks == []


async def test_what_was_seen_once_is_not_asked_for_again(
    engine: AsyncEngine, settings: Settings, looks: list[str]
) -> None:
    commit(settings, {1: 10, 2: 20})
    caught_up = CaughtUp(engine)
    await caught_up.wait(encode_positions({1: 10}), CALL)
    assert len(looks) == 1
    for wanted in ({1: 10}, {2: 20}, {1: 3, 2: 4}, {}):
        await caught_up.wait(encode_positions(wanted), CALL)
    assert len(looks) == 1


async def test_the_scorers_word_ends_the_waiting(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOOK_INTERVAL_S", 60.0)
    commit(settings, {1: 10})
    caught_up = CaughtUp(engine)
    waiting = asyncio.create_task(caught_up.wait(encode_positions({1: 11}), CALL))
    for position in range(11, 14):
        await caught_up.wait(encode_positions({1: 10}), CALL)
        assert not waiting.done()
        commit(settings, {1: position})
        caught_up.heard({1: position})
        async with asyncio.timeout(10):
            await waiting
        waiting = asyncio.create_task(caught_up.wait(encode_positions({1: position + 1}), CALL))
    waiting.cancel()


async def test_without_a_word_the_waiting_ends_too(engine: AsyncEngine, settings: Settings, looks: list[str]) -> None:
    caught_up = CaughtUp(engine)
    waiting = asyncio.create_task(caught_up.wait(encode_positions({1: 10}), CALL))
    commit(settings, {1: 10})
    await waiting


async def test_a_word_is_not_taken_for_what_the_database_shows(engine: AsyncEngine) -> None:
    caught_up = CaughtUp(engine)
    call: Any = Call(remaining_s=0.5)
    waiting = asyncio.create_task(caught_up.wait(encode_positions({1: 10}), call))
    caught_up.heard({1: 10})
    with pytest.raises(NotCaughtUp):
        await waiting


async def test_many_who_wait_look_as_one(
    engine: AsyncEngine, settings: Settings, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOOK_INTERVAL_S", 60.0)
    commit(settings, {1: 10})
    caught_up = CaughtUp(engine)
    waiting = [asyncio.create_task(caught_up.wait(encode_positions({1: 11}), CALL)) for _ in range(200)]
    await caught_up.wait(encode_positions({1: 10}), CALL)
    caught_up.heard({2: 5})
    commit(settings, {1: 11})
    caught_up.heard({1: 11})
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)
    assert len(looks) <= 4


async def test_at_the_deadline_the_error_names_the_partitions_that_are_behind(
    engine: AsyncEngine, settings: Settings
) -> None:
    commit(settings, dict.fromkeys(range(8), 10))
    call: Any = Call(remaining_s=0.4)
    wanted = {partition: 11 + partition for partition in range(7)} | {7: 10}
    with pytest.raises(NotCaughtUp) as caught:
        await CaughtUp(engine).wait(encode_positions(wanted), call)
    assert "partition 0 by 1, partition 1 by 2," in caught.value.message
    assert "partition 4 by 5 and 2 more" in caught.value.message
    assert "partition 7" not in caught.value.message


async def test_a_caller_without_a_deadline_gets_an_answer_all_the_same(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "WAIT_S_MAX", 0.1)
    call: Any = Call(remaining_s=None)
    with pytest.raises(NotCaughtUp):
        await CaughtUp(engine).wait(encode_positions({1: 1}), call)


async def test_what_is_no_token_is_refused(engine: AsyncEngine) -> None:
    with pytest.raises(InvalidRequest):
        await CaughtUp(engine).wait("garbage", CALL)
