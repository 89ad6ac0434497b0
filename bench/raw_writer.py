"""The bound: a loop that does nothing but write the rows of a run to the same tables, as fast as two connections can.

For each batch: which ids are known, COPY of events and ledger, one upsert of the leads, commit. The rows are those that
the suite has written, read back before; the processes start together and write to a database of their own.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from multiprocessing.synchronize import Barrier
from typing import Any

import psycopg
from psycopg import sql

from embedded.postgres import Postgres
from services.scorer import statements
from services.scorer.arrays import array
from services.scorer.binary import jsonb, moment
from services.scorer.prepare import prepare
from services.shared.clock import to_us
from services.shared.settings import Settings

BATCH = 2_000
CONNECTIONS = 2
DATABASE = "raw_writer"

KNOWN = """
SELECT known.* FROM unnest(%b::text[]) AS asked (event_id) CROSS JOIN LATERAL (
    SELECT event_id, digest, lead_id FROM events WHERE tenant_id = %b AND event_id = asked.event_id OFFSET 0
) AS known
"""

EVENT_LEAD, OCCURRED = map(statements.EVENTS.columns.index, ("lead_id", "occurred_at"))
LEAD_ID, CHANGED_LEAD = (table.columns.index("lead_id") for table in (statements.LEADS, statements.LEDGER))
SCORE, VERSION, EVENT_COUNT, LAST_EVENT = map(
    statements.LEADS.columns.index, ("score", "version", "event_count", "last_event_at")
)
EVENT_OF_CHANGE, SEQUENCE, SCORE_AFTER = map(statements.LEDGER.columns.index, ("event_id", "sequence", "score_after"))

Chunk = tuple[list[Any], list[Any], list[Any]]


async def raw_events_per_s(postgres: Postgres) -> float:
    """Events a second of the loop, on the rows that are in the suite's database now."""
    chunks = await asyncio.to_thread(_chunks, postgres.url)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    url = postgres.url_of(DATABASE)
    await asyncio.to_thread(prepare, Settings(database_url=url))
    return await asyncio.to_thread(_race, url, chunks)


def _race(url: str, chunks: Sequence[Chunk]) -> float:
    context = multiprocessing.get_context("spawn")
    line = context.Barrier(CONNECTIONS + 1)
    shares = [chunks[number::CONNECTIONS] for number in range(CONNECTIONS)]
    writers = [context.Process(target=_write_all, args=(url, share, line)) for share in shares]
    for writer in writers:
        writer.start()
    line.wait()
    started = time.perf_counter()
    for writer in writers:
        writer.join()
    assert all(writer.exitcode == 0 for writer in writers)
    return sum(len(events) for events, _, _ in chunks) / (time.perf_counter() - started)


def _chunks(url: str) -> list[Chunk]:
    """The rows of the database in the order in which they were written, in batches, as they go over the wire."""
    with psycopg.connect(url) as connection:
        events = _rows(connection, statements.EVENTS, "ORDER BY ctid")
        ledger: dict[str, list[Any]] = {}
        for row in _rows(connection, statements.LEDGER):
            ledger.setdefault(row[EVENT_OF_CHANGE], []).append(row)
        leads = {row[LEAD_ID]: list(row) for row in _rows(connection, statements.LEADS)}
    for lead in leads.values():
        lead[SCORE] = lead[VERSION] = lead[EVENT_COUNT] = 0
        lead[LAST_EVENT] = None
    chunks = []
    for start in range(0, len(events), BATCH):
        of_chunk = events[start : start + BATCH]
        changes = [change for event in of_chunk for change in ledger.get(event[1], ())]
        chunks.append((of_chunk, changes, _as_they_are(leads, of_chunk, changes)))
    return chunks


def _as_they_are(leads: dict[str, list[Any]], events: Sequence[Any], changes: Sequence[Any]) -> list[Any]:
    """The leads of a batch as they are after it. With the rows of the end each time, PostgreSQL would not have to touch
    an index, because nothing that is in one would change.
    """
    for event in events:
        lead = leads[event[EVENT_LEAD]]
        lead[EVENT_COUNT] += 1
        lead[LAST_EVENT] = max(lead[LAST_EVENT] or event[OCCURRED], event[OCCURRED])
    for change in changes:
        lead = leads[change[CHANGED_LEAD]]
        if change[SEQUENCE] > lead[VERSION]:
            lead[VERSION], lead[SCORE] = change[SEQUENCE], change[SCORE_AFTER]
    return [tuple(leads[lead_id]) for lead_id in sorted({event[EVENT_LEAD] for event in events})]


def _rows(connection: psycopg.Connection[Any], table: statements.Target, order: str = "") -> list[tuple[Any, ...]]:
    makers = [WIRE.get(kind, _as_it_is) for kind in table.kinds]
    found = connection.execute(f"SELECT {', '.join(table.columns)} FROM {table.name} {order}")
    return [
        tuple([None if value is None else make(value) for make, value in zip(makers, row, strict=True)])
        for row in found
    ]


def _as_it_is(value: Any) -> Any:
    return value


def _moment(value: datetime) -> int:
    return moment(to_us(value))


WIRE: dict[str, Callable[[Any], Any]] = {"timestamptz": _moment, "jsonb": jsonb}


def _write_all(url: str, chunks: Sequence[Chunk], line: Barrier) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statements.CREATE_STAGING)
        connection.commit()
        line.wait()
        for events, ledger, leads in chunks:
            asked = [array("text", [event[1] for event in events]), events[0][0]]
            connection.execute(KNOWN, asked, binary=True).fetchall()
            _copy(connection, statements.EVENTS, events)
            _copy(connection, statements.LEDGER, ledger)
            _copy(connection, statements.LEADS, leads)
            connection.execute(statements.LEADS.move)
            connection.commit()


def _copy(connection: psycopg.Connection[Any], table: statements.Target, rows: Sequence[Any]) -> None:
    with connection.cursor().copy(table.copy) as copy:
        copy.set_types(table.wire_types)
        for row in rows:
            copy.write_row(row)
