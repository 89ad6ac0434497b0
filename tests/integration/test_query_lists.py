"""What is listed about leads and imports: events, scores over time, movers, imports; on tables that the test fills."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from google.protobuf import json_format, struct_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import query_service_pb2 as query
from psycopg.types.json import Jsonb
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query import movers, pages, series
from services.query.events import list_events
from services.query.imports import get_import, list_imports
from services.query.movers import list_movers
from services.query.series import get_score_series
from services.shared import database
from services.shared.clock import to_us
from services.shared.errors import InvalidRequest
from services.shared.settings import Settings
from services.shared.tokens import encode_page, encode_positions
from tests.lead_rows import NOON, Row, store
from tests.parts import Suite
from tests.plans import rows_read, statements_noted


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    connecting = database.connect(
        replace(Settings(), database_url=database_url), name="test", connections_max=2, read_only=True
    )
    async with connecting as engine:
        yield engine


def stamp(moment: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(moment)
    return made


TYPES = ["page_view", "page_view", "demo_request", "$profile", "$note"]


def store_events(database_url: str, count: int) -> list[tuple[str, str, datetime]]:
    """Events with ties in their times, some of them facts of the suite's own; ids, types and times, newest first."""
    chance = random.Random(3)
    events = []
    for number in range(count):
        at = NOON + timedelta(microseconds=chance.randrange(6))
        events.append((f"{chance.choice('aBö')}{number}", chance.choice(TYPES), at))
    with psycopg.connect(database_url) as connection:
        for lead_id, prefix in (("ada", ""), ("eve", "other ")):
            for event_id, event_type, at in events:
                properties = Jsonb({"of": event_id, "n": 1.5}) if event_type == "page_view" else None
                connection.execute(
                    "INSERT INTO events VALUES ('demo', %s, %s, %s, %s, %s, 'shop', %s, '')",
                    [prefix + event_id, lead_id, event_type, at, at + timedelta(seconds=1), properties],
                )
    return sorted(events, key=lambda each: (-to_us(each[2]), each[0].encode()))


async def all_events(engine: AsyncEngine, size: int, types: list[str]) -> list[query.StoredEvent]:
    found: list[query.StoredEvent] = []
    token = ""
    while True:
        request = query.ListEventsRequest(lead_id="ada", page_size=size, page_token=token, types=types)
        page = await list_events(engine, "demo", request)
        assert len(page.events) <= size
        found += page.events
        token = page.next_page_token
        if not token:
            return found


async def test_the_events_of_a_lead_are_newest_first_whatever_the_size_of_the_pages(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(database_url, [Row("ada"), Row("eve")])
    stored = store_events(database_url, 30)
    every = [each for each in stored if not each[1].startswith("$")]
    demos = [each for each in stored if each[1] == "demo_request"]
    for types, expected in (
        ([], every),
        (["Page View", "DEMO-REQUEST"], every),
        (["demo request", "x", "nul\0"], demos),
        (["$note"], []),
        (["nul\0"], []),
    ):
        for size, rows_max in itertools.product((1, 2, len(every) - 1, len(every), len(every) + 1), (4, 100)):
            monkeypatch.setattr(pages, "ROWS_MAX", rows_max)
            found = await all_events(engine, size, types)
            assert [(each.event_id, each.type) for each in found] == [each[:2] for each in expected], (types, size)
    newest = (await all_events(engine, 1, ["page_view"]))[0]
    assert dict(newest.properties) == {"of": newest.event_id, "n": 1.5}
    assert newest.received_at.ToDatetime() - newest.occurred_at.ToDatetime() == timedelta(seconds=1)
    assert (newest.source, newest.occurred_at.nanos % 1_000) == ("shop", 0)
    assert not (await all_events(engine, 50, ["demo_request"]))[0].HasField("properties")


async def test_a_token_of_events_is_of_one_lead_and_its_types(engine: AsyncEngine, database_url: str) -> None:
    store(database_url, [Row("ada"), Row("eve")])
    store_events(database_url, 30)
    first = await list_events(engine, "demo", query.ListEventsRequest(lead_id="ada", page_size=1))
    for request in (
        query.ListEventsRequest(lead_id="eve", page_token=first.next_page_token),
        query.ListEventsRequest(lead_id="ada", page_token=first.next_page_token, types=["page_view"]),
        query.ListEventsRequest(lead_id="ada", page_token=encode_page((b"", (2**62, "e")))),
    ):
        with pytest.raises(InvalidRequest, match="page_token"):
            await list_events(engine, "demo", request)


SCORES = [10, 30, 30, 20, 55, 50, 70]
HOURS = [0, 1, 2, 20, 30, 31, 80]
"""When it became so, after noon: on four days, one of them without a change that shows."""


def store_ledger(database_url: str) -> None:
    before = 0
    with psycopg.connect(database_url) as connection:
        for sequence, (score, hour) in enumerate(zip(SCORES, HOURS, strict=True), 1):
            connection.execute(
                "INSERT INTO ledger VALUES ('demo', 'ada', %s, %s, %s, %s, 1, '', '', NULL, %s, 1, '[]')",
                [sequence, score - before, before, score, NOON + timedelta(hours=hour)],
            )
            before = score


async def points(engine: AsyncEngine, **fields: Any) -> list[tuple[datetime, int]]:
    answer = await get_score_series(engine, "demo", query.GetScoreSeriesRequest(lead_id="ada", **fields))
    return [(point.at.ToDatetime(UTC), point.score) for point in answer.points]


async def test_a_series_has_each_change_or_the_end_of_each_day(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(database_url, [Row("ada")])
    assert await points(engine) == await points(engine, step="SERIES_STEP_DAY") == []
    store_ledger(database_url)
    changes = [(NOON + timedelta(hours=hour), score) for hour, score in zip(HOURS, SCORES, strict=True) if hour != 2]
    midnight = NOON - timedelta(hours=12)
    days = [(midnight + timedelta(day), score) for day, score in ((0, 30), (1, 50), (3, 70))]
    assert await points(engine) == await points(engine, step="SERIES_STEP_CHANGE") == changes
    assert await points(engine, step="SERIES_STEP_DAY") == days
    some = {"from": stamp(changes[1][0]), "to": stamp(changes[4][0])}
    assert await points(engine, **some) == changes[1:4]
    assert await points(engine, **some, step="SERIES_STEP_DAY") == [days[0], (midnight + timedelta(1), 55)]
    assert await points(engine, **{"from": some["to"], "to": some["to"]}) == []
    for most in (5, 6):
        monkeypatch.setattr(series, "POINTS_MAX", most)
        answer = await get_score_series(engine, "demo", query.GetScoreSeriesRequest(lead_id="ada"))
        assert ([point.score for point in answer.points], answer.truncated) == (
            [s for _, s in changes][-most:],
            most < 6,
        )
    for wrong in ({"from": some["to"], "to": some["from"]}, {"from": Timestamp(seconds=10**12)}):
        with pytest.raises(InvalidRequest, match="from: "):
            await points(engine, **wrong)


async def test_movers_are_measured_from_before_their_first_change_since_a_day(
    engine: AsyncEngine, database_url: str
) -> None:
    today = datetime.now(UTC).date()
    chance = random.Random(4)
    rows = [Row(f"{chance.choice('aBö')}{number}", score=chance.randrange(0, 60, 10)) for number in range(40)]
    rows[0] = replace(rows[0], profile={"name": "Ada", "company": 7})
    store(database_url, [*rows, replace(rows[0], tenant_id="other", score=500)])
    befores: dict[str, dict[date, int]] = {row.lead_id: {} for row in rows}
    with psycopg.connect(database_url) as connection:
        for lead_id, ago in itertools.product(befores, (0, 3, 7, 8, 400)):
            if chance.random() < 0.5:
                before = befores[lead_id][today - timedelta(ago)] = chance.randrange(0, 60, 10)
                connection.execute(
                    "INSERT INTO score_days VALUES ('demo', %s, %s, %s)", [today - timedelta(ago), lead_id, before]
                )
        connection.execute("INSERT INTO score_days VALUES ('other', %s, %s, 0)", [today, rows[0].lead_id])
    for asked, up, size in itertools.product((None, 0, 5, 400), (True, False), (1, 3, 100)):
        since = today - timedelta(7 if asked is None else asked)
        moved = []
        for row in rows:
            days = [day for day in befores[row.lead_id] if day >= since]
            if days and (delta := row.score - befores[row.lead_id][min(days)]) * (1 if up else -1) > 0:
                moved.append((-abs(delta), row.lead_id.encode(), row.lead_id, row.score - delta, row.score, delta))
        request = query.ListMoversRequest(size=size, direction=query.DIRECTION_UP if up else query.DIRECTION_DOWN)
        if asked is not None:
            request.since.CopyFrom(stamp(datetime.combine(since, NOON.time(), UTC)))
        found = (await list_movers(engine, "demo", request)).leads
        assert [(each.lead_id, each.score_before, each.score, each.delta) for each in found] == [
            each[2:] for each in sorted(moved)[:size]
        ]
        for each in found:
            name = "Ada" if each.lead_id == rows[0].lead_id else ""
            assert (each.grade, each.name, each.company) == ("C3", name, "")
    assert len((await list_movers(engine, "demo", query.ListMoversRequest())).leads) == 10
    old = query.ListMoversRequest(since=stamp(datetime.combine(today - timedelta(401), NOON.time(), UTC)))
    with pytest.raises(InvalidRequest, match="since: must be at most 400 days before today"):
        await list_movers(engine, "demo", old)


async def test_movers_since_a_day_with_too_many_moves_behind_it_are_refused_with_what_to_ask_for(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime.now(UTC).date()
    store(database_url, [Row(f"lead-{number}", score=50) for number in range(6)])
    with psycopg.connect(database_url) as connection:
        for number in range(6):
            connection.execute(
                "INSERT INTO score_days VALUES ('demo', %s, %s, 0), ('other', %s, %s, 0)",
                [today - timedelta(number // 3), f"lead-{number}"] * 2,
            )
    monkeypatch.setattr(movers, "MOVES_MAX", 6)
    assert len((await list_movers(engine, "demo", query.ListMoversRequest())).leads) == 6
    monkeypatch.setattr(movers, "MOVES_MAX", 5)
    with pytest.raises(InvalidRequest, match="since: has more than 5 moves of leads behind it; ask for a later day"):
        await list_movers(engine, "demo", query.ListMoversRequest())
    of_today = query.ListMoversRequest(since=stamp(datetime.combine(today, NOON.time(), UTC)))
    assert len((await list_movers(engine, "demo", of_today)).leads) == 3


async def test_imports_are_newest_first_each_as_it_is_by_itself(engine: AsyncEngine, database_url: str) -> None:
    chance = random.Random(5)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO partitions (partition, position) VALUES (0, 10), (1, 10)"
            " ON CONFLICT (partition) DO UPDATE SET position = excluded.position"
        )
        for number in range(12):
            token = encode_positions({number % 2: chance.choice([9, 11])})
            connection.execute(
                "INSERT INTO imports (tenant_id, import_id, reading, rows_read, token, started_at)"
                " VALUES ('demo', %s, %s, 100, %s, %s)",
                [f"i{number}", chance.choice([1, 2, 3]), token, NOON + timedelta(hours=chance.randrange(3))],
            )
            connection.execute("INSERT INTO import_counts VALUES ('demo', %s, 0, %s, 1, 2)", [f"i{number}", number])
        connection.execute("INSERT INTO imports (tenant_id, import_id) VALUES ('other', 'i0')")
    alone = [await get_import(engine, "demo", f"i{number}") for number in range(12)]
    alone.sort(key=lambda each: (each.started_at.seconds, each.import_id), reverse=True)
    assert len({each.state for each in alone}) == 3
    for size in (1, 2, 11, 12, 13):
        found: list[query.Import] = []
        token = ""
        while True:
            page = await list_imports(engine, "demo", size, token)
            assert len(page.imports) <= size
            found += page.imports
            token = page.next_page_token
            if not token:
                break
        assert found == alone
    with pytest.raises(InvalidRequest):
        await list_imports(engine, "demo", 1, encode_page((5, "x")))


async def test_a_page_of_imports_looks_at_no_others(engine: AsyncEngine, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO imports (tenant_id, import_id, started_at) SELECT 'demo', 'i' || n, now() - n * interval '1 s'"
            " FROM generate_series(1, 5000) n"
        )
        connection.execute("ANALYZE imports")
    token = ""
    for _ in range(2):
        with statements_noted() as sent:
            token = (await list_imports(engine, "demo", 20, token)).next_page_token
        assert rows_read(database_url, [each for each in sent if "imports" in each[0]])["imports"] == 21


async def test_each_list_has_its_call_and_waits_for_the_consistency_token(settings: Settings) -> None:
    async with Suite(settings) as suite:
        await suite.start("ingest", "scorer", "query")
        events = [event_pb2.Event(event_id=f"e{number}", lead_id="ada", type="Page View") for number in range(3)]
        sent = await suite.ingest.PublishEvents(ingest.PublishEventsRequest(events=events))
        token = sent.consistency_token
        leads = await suite.query.ListLeads(query.ListLeadsRequest(search="AD", consistency_token=token))
        assert [(lead.lead_id, lead.event_count) for lead in leads.leads] == [("ada", 3)]
        profile = json_format.Parse('{"company": "Äcme Ltd"}', struct_pb2.Struct())
        noted = await suite.ingest.UpsertLead(ingest.UpsertLeadRequest(lead_id="ada", profile=profile))
        token = noted.consistency_token
        asked = query.ListEventsRequest(lead_id="ada", types=["PAGE-VIEW"], consistency_token=token)
        assert {each.event_id for each in (await suite.query.ListEvents(asked)).events} == {"e0", "e1", "e2"}
        leads = await suite.query.ListLeads(query.ListLeadsRequest(search="äcme l", filter="profile.company = Ä*"))
        assert [lead.lead_id for lead in leads.leads] == ["ada"]
        score = leads.leads[0].score
        line = await suite.query.GetScoreSeries(query.GetScoreSeriesRequest(lead_id="ada", consistency_token=token))
        assert line.points[-1].score == score
        movers = await suite.query.ListMovers(query.ListMoversRequest(consistency_token=token))
        assert [(each.lead_id, each.score_before, each.delta) for each in movers.leads] == [("ada", 0, score)]
        assert list((await suite.query.ListImports(query.ListImportsRequest())).imports) == []
