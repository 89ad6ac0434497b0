"""What the scorer does beside events is done as of a time after it was begun."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from services.scorer import statements
from services.scorer.binary import moment
from services.scorer.chores import Chores
from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.default_model import default_model
from services.scorer.scoring.lead import DAY_US, Lead
from services.scorer.scoring.replay import History
from services.scorer.store import Work

BEFORE_US = 20_000 * DAY_US
AFTER_US = BEFORE_US + 200 * DAY_US


class Clock:
    def __init__(self) -> None:
        self.at_us = BEFORE_US

    def now_us(self) -> int:
        return self.at_us


class Database:
    """A session and its transaction, in which a rescore of one lead is found; the clock is moved before it is begun."""

    def __init__(self, clock: Clock) -> None:
        self.now = self
        self.written: dict[statements.Bulk, Sequence[Sequence[Any]]] = {}
        self._clock = clock

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Database]:
        yield self

    async def has_due(self, partitions: Sequence[int], now_us: int) -> bool:
        return False

    async def next_work(self, partitions: Sequence[int]) -> Work:
        self._clock.at_us = AFTER_US
        return Work("demo", 1, 1)

    async def lock(self, epochs: object) -> None:
        pass

    async def lock_work(self, work: Work, partitions: Sequence[int]) -> dict[int, str]:
        return {0: ""}

    async def load_leads_after(self, *scope: object) -> list[tuple[int, Lead]]:
        return [(0, Lead("ada", model_version=1, evaluated_us=BEFORE_US))]

    async def model(self, tenant_id: str, version: int) -> CompiledModel:
        return CompiledModel(default_model())

    async def load_histories(self, *scope: object) -> dict[str, History]:
        return {"ada": History()}

    async def move_work(self, *progress: object) -> None:
        pass

    async def end_work(self, work: Work, partitions: Sequence[int], now_us: int) -> None:
        assert now_us == AFTER_US

    async def write(self, parts: statements.Parts) -> None:
        self.written = dict(parts)


async def test_a_rescore_that_is_begun_while_the_scorer_looks_for_work_is_as_of_a_time_after_its_beginning() -> None:
    clock = Clock()
    database: Any = Database(clock)

    assert await Chores(clock, "scorer").do_some(database, {0: 1}) is not None

    (row,) = database.written[statements.LEADS]
    assert row[statements.LEADS.columns.index("updated_at")] == moment(AFTER_US)
