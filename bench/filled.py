"""A database full of leads, as the scorer would have written it, in minutes instead of a quarter of an hour.

Some thousand leads are worked out and written by the scorer's own code, day by day; then the database copies them under
other names. What is summed over leads or events is so many times what it was.
"""

import asyncio
from hashlib import blake2b
from pathlib import Path

import psycopg
from psycopg import sql

from bench import histories
from bench.histories import PARTITIONS, TAG, TENANT, facts_by_day
from embedded.postgres import Postgres
from services.scorer.effects import Known, work_out
from services.scorer.prepare import prepare
from services.scorer.rows import written
from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.default_model import default_model
from services.scorer.scoring.lead import DAY_US
from services.scorer.store import Store
from services.shared import database, schema
from services.shared.clock import SystemClock
from services.shared.settings import Settings

SHARD = 0
TEXT = f"replace({{0}}, '{TAG}', tag)"
"""A text with a copy's name in place of the first one's."""
JSON = f"{TEXT.format('{0}::text')}::jsonb"
BYTES = f"decode(replace(encode({{0}}, 'hex'), '{TAG.encode().hex()}', encode(tag::bytea, 'hex')), 'hex')"
PARTITION = f"(crc32(convert_to('{TENANT}' || chr(10) || {TEXT.format('lead_id')}, 'UTF8')) % {PARTITIONS})::int2"
CHANGED = {
    "events": {"event_id": TEXT, "lead_id": TEXT, "properties": JSON},
    "ledger": {"event_id": TEXT, "lead_id": TEXT},
    "leads": {"lead_id": TEXT, "partition": PARTITION, "profile": JSON, "state": BYTES},
    "lead_names": {"name": TEXT, "lead_id": TEXT},
    "score_days": {"lead_id": TEXT},
}
"""The columns in which copies of a row differ, by table."""
COPIES = "(SELECT 'x' || lpad(n::text, 4, '0') AS tag FROM generate_series(1, {copies} - 1) AS n) AS names"
SUMS = (
    "UPDATE score_counts SET leads = leads * {copies}",
    f"UPDATE rollups SET count = count * {{copies}}, total = total * {{copies}} WHERE name NOT LIKE '%{TAG}%'",
    f"INSERT INTO rollups SELECT tenant_id, kind, at, {TEXT.format('name')}, partition, count, total "
    f"FROM rollups CROSS JOIN {COPIES} WHERE name LIKE '%{TAG}%'",
)
BEING_MADE = "filling"


async def filled_database(postgres: Postgres, kinds: int, copies: int) -> str:
    """The name of a new database with so many times so many leads. One like it is kept for the next run of the day."""
    today = SystemClock().now_us() // DAY_US
    kept, used = f"kept_{kinds}_{copies}_{_made_by()}_{today}", f"used_{kinds}_{copies}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [kept]).rowcount:
            _run(connection, "DROP DATABASE IF EXISTS {}", BEING_MADE)
            _run(connection, "CREATE DATABASE {}", BEING_MADE)
            await _fill(postgres.url_of(BEING_MADE), kinds, copies, today)
            _run(connection, "ALTER DATABASE {} RENAME TO {}", BEING_MADE, kept)
        _run(connection, "DROP DATABASE IF EXISTS {}", used)
        _run(connection, "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", used, kept)
    return used


def _made_by() -> str:
    """Another text for every change of the tables or of what is put into them."""
    versions = Path(schema.__file__).parent / "migrations" / "versions"
    sources = [Path(__file__), Path(histories.__file__), *sorted(versions.glob("*.py"))]
    return blake2b(b"".join(map(Path.read_bytes, sources)), digest_size=4).hexdigest()


def _run(connection: psycopg.Connection[tuple[object, ...]], statement: str, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


async def _fill(url: str, kinds: int, copies: int, today: int) -> None:
    settings = Settings(database_url=url)
    await asyncio.to_thread(prepare, settings)
    await _write(settings, kinds, today)
    await asyncio.gather(*(_copy(url, table, copies) for table in CHANGED))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for statement in SUMS:
            await connection.execute(statement.format(copies=copies).encode())
        await connection.execute("VACUUM ANALYZE")


async def _write(settings: Settings, kinds: int, today: int) -> None:
    """The first copy, by the scorer's own code: a batch for each day."""
    known = Known(models={TENANT: CompiledModel(default_model())})
    async with (
        database.connect(settings, name="bench", connections_max=1) as engine,
        Store(engine, "bench").session() as session,
    ):
        for number, facts in enumerate(facts_by_day(kinds, today)):
            at_us = (today - histories.DAYS + number + 2) * DAY_US - 1
            effects = work_out(facts, known, at_us, SHARD)
            known.leads |= {key: folding.lead for key, folding in effects.foldings.items()}
            async with session.transaction() as transaction:
                await transaction.write(written(effects, at_us))


async def _copy(url: str, table: str, copies: int) -> None:
    columns = [column.name for column in schema.METADATA.tables[table].columns]
    values = ", ".join(CHANGED[table].get(name, "{0}").format(name) for name in columns)
    rows = f"SELECT {values} FROM {COPIES.format(copies=copies)} CROSS JOIN {table}"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) {rows}".encode())
