"""Lists of leads on a real database: filters, orders, searches and the leaderboard, at the borders of their pages."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf import json_format
from grpc import aio
from leadscore.query.v1 import query_service_pb2 as query
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query import pages
from services.query.lead_list import list_leads
from services.query.leaderboard import list_leaderboard
from services.query.orders import ORDERS
from services.scorer.rollups import names_of
from services.shared import database
from services.shared.errors import InvalidRequest, NotFound
from services.shared.settings import Settings
from services.shared.tokens import encode_page
from tests.lead_rows import NOON, PROFILES, Row, made_rows, ordered, store
from tests.parts import Suite


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    connecting = database.connect(
        replace(Settings(), database_url=database_url), name="test", connections_max=2, read_only=True
    )
    async with connecting as engine:
        yield engine


async def leads_of(engine: AsyncEngine, **fields: Any) -> query.ListLeadsResponse:
    return await list_leads(engine, "demo", query.ListLeadsRequest(**fields))


async def board_of(
    engine: AsyncEngine, size: int, page_token: str = "", **fields: str
) -> query.ListLeaderboardResponse:
    return await list_leaderboard(engine, "demo", size, page_token, **fields)


async def all_pages(page_of: Callable[[str], Awaitable[Any]], size: int) -> list[Any]:
    """All rows, page by page; no page has more than it should."""
    rows: list[Any] = []
    token = ""
    while True:
        page = await page_of(token)
        found = page.leads if isinstance(page, query.ListLeadsResponse) else page.entries
        assert len(found) <= size
        rows += found
        token = page.next_page_token
        if not token:
            return rows


async def all_ids(engine: AsyncEngine, size: int, **fields: Any) -> list[str]:
    found = await all_pages(lambda token: leads_of(engine, page_size=size, page_token=token, **fields), size)
    return [lead.lead_id for lead in found]


async def test_every_order_gives_every_lead_once_whatever_the_size_of_the_pages(
    engine: AsyncEngine, database_url: str
) -> None:
    rows = made_rows()
    store(database_url, [*rows, replace(rows[0], tenant_id="other")])
    for order_by in ORDERS:
        for size in (1, 2, 7, len(rows) - 1, len(rows), len(rows) + 1):
            assert await all_ids(engine, size, order_by=order_by) == ordered(rows, order_by), (order_by, size)
    assert await all_ids(engine, 50) == ordered(rows, "score desc")
    assert await all_ids(engine, 50, order_by="  score   desc ") == ordered(rows, "score desc")


async def test_a_lead_in_a_list_is_the_whole_lead_without_rank_and_notes(
    engine: AsyncEngine, database_url: str
) -> None:
    row = replace(made_rows()[3], profile=PROFILES[1], first_event_at=None, last_event_at=NOON, owner="bob")
    store(database_url, [row])
    (lead,) = (await leads_of(engine)).leads
    told = json_format.MessageToDict(lead, preserving_proto_field_name=True)
    expected = {key: value for key, value in asdict(row).items() if value}
    for name in ("partition", "tenant_id", "state"):
        expected.pop(name, None)
    expected |= {"last_event_at": "2026-10-01T12:00:00Z", "updated_at": "2026-10-01T12:00:00Z"}
    expected |= {name: str(row_value) for name in ("version", "event_count") if (row_value := expected.get(name))}
    assert told == expected


async def test_a_window_smaller_than_the_leads_makes_short_pages_that_go_on(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = made_rows()
    store(database_url, rows)
    passing = [row for row in rows if row.status == "won" and row.score < 200]
    for order_by, rows_max, size in itertools.product(ORDERS, (1, 4, len(rows)), (1, 50)):
        monkeypatch.setattr(pages, "ROWS_MAX", rows_max)
        found = await all_ids(engine, size, order_by=order_by, filter="status = won AND score < 200")
        assert found == ordered(passing, order_by), (order_by, rows_max, size)
    monkeypatch.setattr(pages, "ROW_COMPARISONS_MAX", 30)
    most = " OR ".join(["status = won"] * 50)
    assert await all_ids(engine, 9, filter=most) == ordered([row for row in rows if row.status == "won"], "score desc")
    monkeypatch.setattr(pages, "ROWS_MAX", 10)
    first = await leads_of(engine, filter="status = nothing")
    assert (list(first.leads), bool(first.next_page_token)) == ([], True)
    assert await all_ids(engine, 50, filter="status = nothing") == []


async def test_leads_that_stay_are_neither_skipped_nor_shown_twice_while_others_move(
    engine: AsyncEngine, database_url: str
) -> None:
    rows = [replace(row, owner="stays" if number % 3 else "") for number, row in enumerate(made_rows())]
    store(database_url, rows)
    staying = [row for row in rows if row.owner]
    restless = itertools.cycle([row.lead_id for row in rows if not row.owner])
    with psycopg.connect(database_url, autocommit=True) as connection:
        for order_by in ORDERS:
            chance = random.Random(order_by)

            async def next_page(token: str, order_by: str = order_by, chance: random.Random = chance) -> Any:
                changed = [chance.randrange(300), NOON + timedelta(hours=chance.randrange(5)), next(restless)]
                connection.execute("UPDATE leads SET score = %s, last_event_at = %s WHERE lead_id = %s", changed)
                return await leads_of(engine, page_size=3, page_token=token, order_by=order_by)

            found = [lead.lead_id for lead in await all_pages(next_page, 3) if lead.owner == "stays"]
            assert found == ordered(staying, order_by), order_by


def beginning(rows: Sequence[Row], prefix: str) -> list[str]:
    """The ids of the leads with a name that begins so, in the order of the first of these."""
    names = [(name.encode(), row.lead_id) for row in rows for name in names_of(row.lead_id, row.profile)]
    found = sorted((name, lead_id.encode(), lead_id) for name, lead_id in names if name.startswith(prefix.encode()))
    return list(dict.fromkeys(lead_id for *_, lead_id in found))


async def test_a_search_finds_each_lead_once_by_the_first_of_its_names_that_begin_so(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = made_rows()
    store(database_url, rows)
    for search, prefix in (("A", "a"), ("ADA", "ada"), (" zoë   VAN ", "zoë van"), ("ö", "ö"), ("lead-1", "lead-1")):
        assert beginning(rows, prefix)
        for size in (1, 2, len(rows)):
            assert await all_ids(engine, size, search=search) == beginning(rows, prefix), (search, size)
    assert await all_ids(engine, 9, search="nobody") == await all_ids(engine, 9, search="%") == []
    assert await all_ids(engine, 99, search="  ") == ordered(rows, "score desc")
    monkeypatch.setattr(pages, "ROWS_MAX", 3)
    won = [row for row in rows if row.status == "won"]
    assert await all_ids(engine, 2, search="ada", filter="status = won") == beginning(won, "ada")


async def test_the_longest_ids_and_names_fit_a_page_token(settings: Settings) -> None:
    wide = "\N{DROMEDARY CAMEL}" * 190
    rows = [Row(f"{wide}{number}", profile={"name": f"{wide}{number}"}) for number in range(3)]
    store(settings.database_url, rows)
    async with Suite(settings) as suite:
        await suite.start("query")

        async def found(token: str) -> Any:
            request = query.ListLeadsRequest(page_size=1, search=wide, page_token=token)
            return await suite.query.ListLeads(request)

        assert len(await all_pages(found, 1)) == 3

        async def board(token: str) -> Any:
            return await suite.query.ListLeaderboard(query.ListLeaderboardRequest(page_size=1, page_token=token))

        assert [entry.rank for entry in await all_pages(board, 1)] == [1, 1, 1]
        around = query.ListLeaderboardRequest(page_size=2, around_lead_id=rows[1].lead_id, filter="lead_id != *1")
        assert [entry.lead_id for entry in (await suite.query.ListLeaderboard(around)).entries] == [
            row.lead_id for row in rows[:2]
        ]
        with pytest.raises(aio.AioRpcError) as caught:
            await suite.query.ListLeads(query.ListLeadsRequest(filter="scoer > 5"))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert (caught.value.details() or "").startswith("filter: column 1: scoer is no field")


async def test_a_token_is_of_one_list_and_says_so(engine: AsyncEngine, database_url: str) -> None:
    store(database_url, made_rows())
    token = (await leads_of(engine, page_size=1)).next_page_token
    found = (await leads_of(engine, page_size=1, search="a")).next_page_token
    for fields in (
        {"page_token": token, "order_by": "score"},
        {"page_token": token, "filter": "score > 5"},
        {"page_token": token, "search": "a"},
        {"page_token": found},
        {"page_token": found, "search": "b"},
        {"page_token": "garbage"},
        {"page_token": encode_page((b"", (5, "nul\0")))},
        {"page_token": encode_page((b"", (2**40, "ada")))},
        {"page_token": encode_page((b"", (2**62, "ada"))), "order_by": "last_event_at"},
        {"order_by": "fit"},
        {"order_by": "score asc"},
        {"order_by": "score", "search": "a"},
        {"search": "\0"},
        {"filter": "x"},
    ):
        with pytest.raises(InvalidRequest):
            await leads_of(engine, **fields)
    with pytest.raises(InvalidRequest, match='order_by: must be one of "score desc", "score", "lead_id"'):
        await leads_of(engine, order_by="fit")
    assert (await leads_of(engine, page_token=token, order_by=" score  desc")).leads
    assert (await leads_of(engine, page_token=found, search="A ")).leads
    token = (await board_of(engine, 1)).next_page_token
    for board in ({"filter_text": "score > 5"}, {"around_lead_id": "ada-1"}):
        with pytest.raises(InvalidRequest):
            await board_of(engine, 1, token, **board)


async def test_the_leaderboard_with_a_filter_has_the_ranks_among_all_leads(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = made_rows()
    store(database_url, rows)
    won = [row for row in rows if row.status == "won"]
    expected = [(lead_id, rank_of(rows, lead_id)) for lead_id in ordered(won, "score desc")]
    for rows_max, size in itertools.product((2, len(rows)), (1, 3, 50)):
        monkeypatch.setattr(pages, "ROWS_MAX", rows_max)

        async def board(token: str, size: int = size) -> Any:
            return await board_of(engine, size, token, filter_text="status = won")

        found = await all_pages(board, size)
        assert [(entry.lead_id, entry.rank) for entry in found] == expected
    nobody = await board_of(engine, 5, filter_text="status=nothing")
    assert (list(nobody.entries), nobody.total_leads) == ([], len(rows))


def rank_of(rows: Sequence[Row], lead_id: str) -> int:
    (score,) = (row.score for row in rows if row.lead_id == lead_id)
    return 1 + sum(row.score > score for row in rows)


async def test_a_page_around_a_lead_has_it_in_the_middle_and_goes_on_below(
    engine: AsyncEngine, database_url: str
) -> None:
    rows = made_rows()
    store(database_url, rows)
    for filter_text, passing in (("", rows), ("status != won", [row for row in rows if row.status != "won"])):
        board = ordered(passing, "score desc")
        for lead_id, size in itertools.product(ordered(rows, "score desc")[::4], (1, 2, 5, len(rows))):
            whole = ordered([row for row in rows if row in passing or row.lead_id == lead_id], "score desc")
            first = max(0, whole.index(lead_id) - size // 2)
            page = await board_of(engine, size, around_lead_id=lead_id, filter_text=filter_text)
            assert [entry.lead_id for entry in page.entries] == board[first : first + size], (lead_id, size)
            assert [entry.rank for entry in page.entries] == [rank_of(rows, entry.lead_id) for entry in page.entries]
            assert bool(page.next_page_token) == (first + size < len(board))
            if page.next_page_token:
                below = await board_of(engine, 3, page.next_page_token, filter_text=filter_text)
                assert [entry.lead_id for entry in below.entries] == board[first + size :][:3]
    for nobody in ("nobody", "nul\0"):
        with pytest.raises(NotFound):
            await board_of(engine, 5, around_lead_id=nobody)
