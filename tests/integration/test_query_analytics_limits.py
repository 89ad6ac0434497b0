"""Figures about all leads: what cannot be asked for is refused with its field, and more leads make nothing dearer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio
from leadscore.event.v1 import event_pb2
from leadscore.query.v1 import analytics_pb2 as analytics

from services.query.analytics import activity, distribution
from services.query.analytics.periods import Period, period_of
from services.shared.settings import Settings
from tests.analytics_life import Days, Life
from tests.parts import Suite
from tests.plans import Sent, rows_read, statements_noted

PERIODICAL = ("GetActivity", "GetActiveLeads", "GetDistribution", "GetFunnel")
ALL = (*PERIODICAL, "GetSources", "GetCompanies", "GetRuleContributions")
DAY_S = 86_400
FIRST = date(1970, 1, 1)
EARLIEST, LATEST = (date.min - FIRST).days, (date.max - FIRST).days
LIVED = (datetime.now(UTC).date() - FIRST).days - 10


def days(first: int | None, last: int | None) -> dict[str, Any]:
    """A period, in days since 1970."""
    ends = {"from": first, "to": last}
    return {name: Timestamp(seconds=day * DAY_S) for name, day in ends.items() if day is not None}


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    *((method, days(101, 100), "from: must not be after `to`, which is 1970-04-11") for method in PERIODICAL),
    *((method, days(100, 1_201), "from: must be at most 1100 days before `to`") for method in PERIODICAL),
    ("GetFunnel", days(40_000, None), "from: must not be after today, "),
    ("GetFunnel", days(0, None), "from: must be at most 1100 days before today, "),
    ("GetFunnel", {"to": Timestamp(seconds=10**12)}, "to: is no time of the years 1 to 9999"),
    ("GetFunnel", {"from": Timestamp(nanos=-1)}, "from: is no time of the years 1 to 9999"),
    ("GetActivity", {"step": "TIME_STEP_HOUR", **days(100, 131)}, "step: must not be an hour for more than 31 days"),
    ("GetActivity", {"step": 9}, "step: "),
    ("GetActivity", {"types": ["x"] * 51}, "types: "),
    ("GetActivity", {"consistency_token": "x"}, "consistency_token: "),
    ("GetDistribution", {"bucket_points": 15}, "bucket_points: must be a multiple of 10"),
    ("GetDistribution", {"bucket_points": -10}, "bucket_points: "),
    ("GetCompanies", {"size": 1_001}, "size: "),
    ("GetCompanies", {"order": 3}, "order: "),
]


@pytest.fixture
async def readers(settings: Settings) -> AsyncIterator[Suite]:
    """Query alone, on tables that the test fills."""
    async with Suite(settings) as suite:
        await suite.start("query")
        yield suite


async def ask(suite: Suite, method: str, **fields: Any) -> Any:
    return await getattr(suite.query, method)(getattr(analytics, f"{method}Request")(**fields))


async def refused(suite: Suite, method: str, **fields: Any) -> str:
    with pytest.raises(aio.AioRpcError) as caught:
        await ask(suite, method, **fields)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    return str(caught.value.details())


async def test_what_cannot_be_asked_for_is_refused_with_the_field(readers: Suite) -> None:
    for method, fields, sentence in REFUSED:
        assert (await refused(readers, method, **fields)).startswith(sentence), (method, fields)


async def test_the_longest_and_the_farthest_periods_are_answered(readers: Suite) -> None:
    for method in PERIODICAL:
        for period in (days(100, 1_200), days(None, EARLIEST), days(LATEST - 30, LATEST), days(7, 7)):
            await ask(readers, method, **period)
    await ask(readers, "GetActivity", step="TIME_STEP_HOUR", **days(100, 130))
    await ask(readers, "GetActivity", step="TIME_STEP_HOUR")
    assert len((await ask(readers, "GetDistribution")).days) == 31


def test_a_period_ends_today_by_the_clock_and_begins_thirty_days_before_its_end() -> None:
    clock = Days()
    clock.move(1_000)
    month = timedelta(30)
    assert period_of(analytics.GetFunnelRequest(), clock) == Period(clock.today - month, clock.today)
    ends = analytics.GetFunnelRequest(**days(None, 100))
    assert period_of(ends, clock) == Period(FIRST + timedelta(70), FIRST + timedelta(100))
    last_moment: dict[str, Any] = {"from": Timestamp(seconds=(clock.today - FIRST).days * DAY_S - 1)}
    begins = analytics.GetFunnelRequest(**last_moment)
    assert period_of(begins, clock) == Period(clock.today - timedelta(1), clock.today)


async def test_the_sums_of_another_tenant_are_nobody_elses(readers: Suite) -> None:
    with psycopg.connect(readers.settings.database_url) as connection:
        connection.execute(
            "INSERT INTO rollups SELECT 'other', kind, at, CASE kind WHEN 5 THEN '10' WHEN 11 THEN 'new>won' ELSE 'x'"
            " END, 0, 3, 30 FROM generate_series(1, 13) kind, unnest(ARRAY[now(), timestamptz 'epoch']) at"
        )
        connection.execute("INSERT INTO score_counts VALUES ('other', 0, 10, 3)")
    for method in ALL:
        found = await ask(readers, method)
        if method == "GetFunnel":
            assert not any(stage.leads or stage.reached for stage in found.stages)
            found.ClearField("stages")
        elif method == "GetDistribution":
            assert not any(each.scores or each.grades for each in found.days)
            found.ClearField("days")
        assert not found.ListFields(), method


async def test_rows_that_add_up_to_nothing_are_no_groups(readers: Suite) -> None:
    with psycopg.connect(readers.settings.database_url) as connection:
        # What one scorer has counted and another has taken away again, and what came back to nothing by itself.
        connection.execute(
            "INSERT INTO rollups SELECT 'demo', kind, at, name, shard, n, 10 * n FROM generate_series(1, 13) kind,"
            " unnest(ARRAY[now(), date_trunc('day', now(), 'UTC'), timestamptz 'epoch']) at,"
            " (VALUES (0, 3), (1, -3), (2, 0)) counted (shard, n), LATERAL (SELECT CASE kind WHEN 5 THEN '10'"
            " WHEN 9 THEN 'won' WHEN 10 THEN 'won' WHEN 11 THEN 'new>won' ELSE 'x' END) named (name)"
        )
        connection.execute(
            "INSERT INTO score_counts VALUES ('demo', 0, 10, 3), ('demo', 1, 10, -3), ('demo', 2, 20, 0)"
        )
    for method in ALL:
        found = await ask(readers, method)
        for emptied in ("stages", "days"):
            for each in getattr(found, emptied, ()):
                assert {field.name for field, _ in each.ListFields()} <= {"status", "day"}, method
            if hasattr(found, emptied):
                found.ClearField(emptied)
        assert not found.ListFields(), method


async def test_an_answer_that_would_be_too_long_says_what_to_ask_for(
    readers: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(readers.settings.database_url) as connection:
        connection.execute(
            "INSERT INTO rollups SELECT 'demo', 13, now(), 't' || n, 0, 1, 0 FROM generate_series(1, 4) n"
        )
        connection.execute("INSERT INTO score_counts SELECT 'demo', 0, n * 10, 1 FROM generate_series(1, 4) n")
    monkeypatch.setattr(activity, "POINTS_MAX", 4)
    monkeypatch.setattr(distribution, "STEPS_MAX", 4 * 31)
    assert len((await ask(readers, "GetActivity")).points) == 4
    assert len((await ask(readers, "GetDistribution", bucket_points=10)).days) == 31
    monkeypatch.setattr(activity, "POINTS_MAX", 3)
    monkeypatch.setattr(distribution, "STEPS_MAX", 4 * 31 - 1)
    said = await refused(readers, "GetActivity")
    assert said == "types: give more than fits one answer, 3 points; name fewer, or ask for a shorter period"
    assert len((await ask(readers, "GetActivity", types=["T1", "t 2", "t3"])).points) == 2
    said = await refused(readers, "GetDistribution", bucket_points=10)
    assert said == "bucket_points: give more than 123 steps; take wider ones, or a shorter period"
    assert (await ask(readers, "GetDistribution", bucket_points=100)).scores[0].leads == 4


@pytest.fixture
def statements() -> Iterator[Sent]:
    with statements_noted() as sent:
        yield sent


async def test_ten_times_the_leads_are_the_same_number_of_rows(settings: Settings, statements: Sent) -> None:
    clock = Days()
    reads: list[dict[str, dict[str, int]]] = []
    async with Suite(replace(settings, partitions=1), clock) as suite:
        await suite.start("query")
        for leads in (range(160), range(160, 1_760)):
            await suite.start("ingest", "scorer")
            await live_alike(Life(suite, clock), leads)
            await suite.stop("scorer")
            await suite.stop("ingest")
            reads.append({})
            for method in ALL:
                statements.clear()
                await ask(suite, method)
                reads[-1][method] = rows_read(settings.database_url, statements)
        of_a_day = days(day := LIVED, day)
        statements.clear()
        assert len((await ask(suite, "GetActivity", **of_a_day)).points) == 2
        one_day = rows_read(settings.database_url, statements)
    assert reads[0] == reads[1]
    assert {table for tables in reads[0].values() for table in tables} == {"rollups", "score_counts"}
    assert one_day == {"rollups": 2}, "one for each type"


async def test_a_year_by_day_is_a_row_for_each_day_and_type_however_many_hours_it_has(
    readers: Suite, statements: Sent
) -> None:
    with psycopg.connect(readers.settings.database_url) as connection:
        for kind, step, number in ((1, "hour", 365 * 24), (13, "day", 365)):
            connection.execute(
                "INSERT INTO rollups SELECT 'demo', %s, timestamptz '2025-01-01' + n * %s::interval, 't' || t, 0, 2, 0"
                " FROM generate_series(0, %s) n, generate_series(1, 3) t",
                [kind, f"1 {step}", number - 1],
            )
    first = (date(2025, 1, 1) - FIRST).days
    for types, rows in (([], 3 * 365), (["t2"], 365)):
        statements.clear()
        points = (await ask(readers, "GetActivity", types=types, **days(first, first + 364))).points
        assert len(points) == rows
        assert rows_read(readers.settings.database_url, statements)["rollups"] <= 3 * 365


async def live_alike(life: Life, leads: range) -> None:
    """Leads on four days, with events of two types; some of a company, some won."""
    sent = []
    for lead in leads:
        made = event_pb2.Event(lead_id=f"lead {lead}", type=("page_view", "purchase")[lead % 2], source="shop")
        made.occurred_at.FromSeconds((LIVED + lead // 2 % 4) * DAY_S)
        sent.append(made)
    # One after the other, so that both times the leads are counted where they were before.
    for lead in leads[:20]:
        await life.profile(f"lead {lead}", company="Acme")
    await ask(life.suite, "GetSources", consistency_token=life.token)
    for lead in leads[:20]:
        await life.status(f"lead {lead}", "won")
    await ask(life.suite, "GetSources", consistency_token=life.token)
    await life.send(*sent)
    await ask(life.suite, "GetSources", consistency_token=life.token)
