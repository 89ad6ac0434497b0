"""The first companies: those that a look at all of them gives, and found without one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from leadscore.query.v1 import analytics_pb2 as contract
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.analytics.companies import LOOKED_UP_MAX, get_companies
from services.query.analytics.sums import Kind
from services.shared import database
from services.shared.clock import EPOCH
from services.shared.settings import Settings
from tests.plans import rows_read, statements_noted

Row = tuple[str, int, int, int]
"""A company, the shard, and what a scorer has added there to the number of its leads and the sum of their scores."""

MANY = 20_000
PARTITIONS = 16
ORDERS = {contract.COMPANY_ORDER_LEADS: 0, contract.COMPANY_ORDER_TOTAL_SCORE: 1}

numbers = st.integers(-30, 60) | st.integers(0, 10**12)
names = st.sampled_from([f"{name} {number}" for name in ("Acme", "Äther", "zett") for number in range(9)])
some_rows = st.lists(
    st.tuples(names, st.integers(0, PARTITIONS - 1), numbers, numbers), max_size=60, unique_by=lambda row: row[:2]
)


@pytest.fixture
def prepared(database_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def fill(connection: psycopg.Connection[tuple[object, ...]], rows: Sequence[Row]) -> None:
    connection.execute("DELETE FROM rollups")
    columns = "tenant_id, kind, at, name, partition, count, total"
    with connection.cursor().copy(f"COPY rollups ({columns}) FROM STDIN") as copy:
        for name, shard, leads, total in rows:
            copy.write_row(["demo", Kind.COMPANIES, EPOCH, name, shard, leads, total])
            # Neither another tenant's companies nor other sums have anything to do with them.
            copy.write_row(["other", Kind.COMPANIES, EPOCH, name, shard, leads + 1, total + 1])
            copy.write_row(["demo", Kind.SOURCES, EPOCH, name, shard, leads + 2, total + 2])


@asynccontextmanager
async def reading(database_url: str) -> AsyncIterator[AsyncEngine]:
    own = replace(Settings(), database_url=database_url)
    async with database.connect(own, name="test", connections_max=1, read_only=True) as engine:
        yield engine


def first_of(rows: Sequence[Row], size: int, compared: int) -> list[tuple[str, int, int]]:
    """By a look at all."""
    sums: dict[str, tuple[int, int]] = {}
    for name, _, leads, total in rows:
        before = sums.get(name, (0, 0))
        sums[name] = before[0] + leads, before[1] + total
    found = sorted((-both[compared], name.encode(), name) for name, both in sums.items() if both[0])
    return [(name, *sums[name]) for _, _, name in found[:size]]


async def assert_first(engine: AsyncEngine, rows: Sequence[Row], size: int) -> None:
    for order, compared in ORDERS.items():
        answer = await get_companies(engine, "demo", size, order)
        found = [(each.company, each.leads, each.total_score) for each in answer.companies]
        assert found == first_of(rows, size, compared)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=some_rows, size=st.integers(1, 30))
async def test_they_are_those_of_all_whatever_scorers_have_added(
    database_url: str, prepared: psycopg.Connection[tuple[object, ...]], rows: list[Row], size: int
) -> None:
    # A scorer's rows by themselves may be anything: what one has added, another takes away after a handover.
    fill(prepared, rows)
    async with reading(database_url) as engine:
        await assert_first(engine, rows, size)


async def test_of_many_that_one_scorer_has_summed_few_are_looked_at(
    database_url: str, prepared: psycopg.Connection[tuple[object, ...]]
) -> None:
    # And a few rows of one that was there for a while.
    sizes = [1 + MANY // (number + 1) for number in range(MANY)]
    rows = [(f"company {number}", 0, leads, leads * (number * 31 % 97)) for number, leads in enumerate(sizes)]
    rows += [(f"company {number}", 5, 3, number % 11) for number in range(0, MANY, 400)]
    fill(prepared, rows)
    prepared.execute("ANALYZE")
    async with reading(database_url) as engine:
        with statements_noted() as statements:
            await assert_first(engine, rows, 50)
    assert rows_read(database_url, statements)["rollups"] < MANY / 10


async def test_all_are_read_where_looking_them_up_would_cost_more(
    database_url: str, prepared: psycopg.Connection[tuple[object, ...]]
) -> None:
    rows = [
        (f"company {number}", shard, 10 + (number + shard) % 3, 100 + number * 31 % 17)
        for number in range(MANY)
        for shard in range(0, PARTITIONS, 4)
    ]
    fill(prepared, rows)
    prepared.execute("ANALYZE")
    async with reading(database_url) as engine:
        with statements_noted() as statements:
            await assert_first(engine, rows, 50)
    of_both_orders = 2 * (len(rows) + 2 * LOOKED_UP_MAX)
    assert rows_read(database_url, statements)["rollups"] < of_both_orders
