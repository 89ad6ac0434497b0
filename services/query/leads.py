"""One lead, and its rank."""

from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.query.ranks import standing_of
from services.query.reading import snapshot
from services.query.wire import set_times, to_struct
from services.shared.errors import NotFound
from services.shared.schema import EVENTS, LEADS

NOTES_MAX = 20
"""What fits a page about a lead."""
SHOWN = [column for column in LEADS.c if column.name != "state"]
"""Without what only the scorer reads, which is most of a row."""


async def get_lead(engine: AsyncEngine, tenant_id: str, lead_id: str) -> contract.Lead:
    """A lead with its rank. Raises NotFound."""
    async with snapshot(engine) as connection:
        row = await find_lead(connection, tenant_id, lead_id)
        standing = await standing_of(connection, tenant_id, row.score)
        notes = await _notes(connection, tenant_id, lead_id)
    lead = lead_of(row)
    lead.rank = standing.rank
    lead.notes.extend(notes)
    return lead


def lead_of(row: Row[Any]) -> contract.Lead:
    """A lead's row as the contract has it, without its rank and notes."""
    lead = contract.Lead(
        lead_id=row.lead_id,
        score=row.score,
        engagement=row.engagement,
        fit=row.fit,
        grade=row.grade,
        version=row.version,
        profile=to_struct(row.profile),
        status=row.status,
        owner=row.owner,
        source=row.source,
        machine_score=row.machine_score,
        event_count=row.event_count,
        model_version=row.model_version,
    )
    set_times(lead, first_event_at=row.first_event_at, last_event_at=row.last_event_at, updated_at=row.updated_at)
    return lead


async def get_rank(engine: AsyncEngine, tenant_id: str, lead_id: str) -> contract.GetRankResponse:
    """A lead's rank. Raises NotFound."""
    async with snapshot(engine) as connection:
        row = await find_lead(connection, tenant_id, lead_id)
        standing = await standing_of(connection, tenant_id, row.score)
    return contract.GetRankResponse(lead_id=lead_id, rank=standing.rank, score=row.score, total_leads=standing.total)


async def find_lead(connection: AsyncConnection, tenant_id: str, lead_id: str) -> Row[Any]:
    """A lead's row. Raises NotFound."""
    query = select(*SHOWN).where(LEADS.c.tenant_id == tenant_id, LEADS.c.lead_id == lead_id)
    # PostgreSQL does not even take a NUL as a parameter, and no lead has one.
    row = (await connection.execute(query)).one_or_none() if "\0" not in lead_id else None
    if row is None:
        raise NotFound(f"nothing is known of lead {lead_id!r}")
    return row


async def _notes(connection: AsyncConnection, tenant_id: str, lead_id: str) -> list[contract.Note]:
    of_lead = EVENTS.c.tenant_id == tenant_id, EVENTS.c.lead_id == lead_id, EVENTS.c.type == "$note"
    query = select(EVENTS).where(*of_lead).order_by(EVENTS.c.occurred_at.desc(), EVENTS.c.event_id).limit(NOTES_MAX)
    notes = []
    for row in await connection.execute(query):
        note = contract.Note(event_id=row.event_id, text=row.properties["text"], author=row.properties["author"])
        set_times(note, occurred_at=row.occurred_at)
        notes.append(note)
    return notes
