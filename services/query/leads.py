"""One lead, and its rank."""

from typing import Any, TypeVar

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import ColumnElement, Select, bindparam, func, literal_column, select, true
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.ranks import standing_by
from services.query.reading import read
from services.query.statements import Driver, Statement
from services.query.wire import fill_struct, set_times
from services.shared.errors import NotFound
from services.shared.schema import EVENTS, LEADS

Known = TypeVar("Known")

NOTES_MAX = 20
"""What fits a page about a lead."""
SHOWN = [column for column in LEADS.c if column.name != "state"]
"""Without what only the scorer reads, which is most of a row."""


THE_LEAD = LEADS.c.tenant_id == bindparam("tenant_id"), LEADS.c.lead_id == bindparam("lead_id")
LEAD = Statement(select(*SHOWN).where(*THE_LEAD))


def _ranked(*columns: ColumnElement[Any]) -> Select[Any]:
    """Columns of a lead, and where it stands."""
    standing = standing_by(LEADS.c.score).lateral("standing")
    return select(*columns, standing.c.rank, standing.c.total).join_from(LEADS, standing, true()).where(*THE_LEAD)


def _with_notes(lead: Select[Any]) -> Select[Any]:
    """A lead and its newest notes, as arrays of what they consist of."""
    shown = EVENTS.c.event_id, EVENTS.c.occurred_at, EVENTS.c.properties
    of_lead = EVENTS.c.tenant_id == bindparam("tenant_id"), EVENTS.c.lead_id == bindparam("lead_id")
    notes = select(*shown).where(*of_lead, EVENTS.c.type == literal_column("'$note'"))
    newest = notes.order_by(EVENTS.c.occurred_at.desc(), EVENTS.c.event_id).limit(NOTES_MAX).subquery()
    arrays = (func.coalesce(func.array_agg(each), array([], type_=each.type)).label(each.name) for each in newest.c)
    gathered = select(*arrays).lateral("notes")
    named = (each.label(f"note_{each.name}") for each in gathered.c)
    return lead.add_columns(*named).join(gathered, true())


RANK = Statement(_ranked(LEADS.c.score))
LEAD_RANKED = Statement(_with_notes(_ranked(*SHOWN)))


async def get_lead(engine: AsyncEngine, tenant_id: str, lead_id: str) -> contract.Lead:
    """A lead with its rank. Raises NotFound."""
    row = await _read_one(engine, LEAD_RANKED, tenant_id, lead_id)
    lead = lead_of(row)
    lead.rank = row.rank
    for event_id, occurred_at, said in zip(row.note_event_id, row.note_occurred_at, row.note_properties, strict=True):
        set_times(lead.notes.add(event_id=event_id, text=said["text"], author=said["author"]), occurred_at=occurred_at)
    return lead


def lead_of(row: Any) -> contract.Lead:
    """A lead's row as the contract has it, without its rank and notes."""
    lead = contract.Lead(
        lead_id=row.lead_id,
        score=row.score,
        engagement=row.engagement,
        fit=row.fit,
        grade=row.grade,
        version=row.version,
        status=row.status,
        owner=row.owner,
        source=row.source,
        machine_score=row.machine_score,
        event_count=row.event_count,
        model_version=row.model_version,
    )
    fill_struct(lead.profile, row.profile)
    set_times(lead, first_event_at=row.first_event_at, last_event_at=row.last_event_at, updated_at=row.updated_at)
    return lead


async def get_rank(engine: AsyncEngine, tenant_id: str, lead_id: str) -> contract.GetRankResponse:
    """A lead's rank. Raises NotFound."""
    row = await _read_one(engine, RANK, tenant_id, lead_id)
    return contract.GetRankResponse(lead_id=lead_id, rank=row.rank, score=row.score, total_leads=row.total)


async def find_lead(driver: Driver, tenant_id: str, lead_id: str) -> Any:
    """A lead's row. Raises NotFound."""
    rows = await LEAD.rows(driver, {"tenant_id": tenant_id, "lead_id": askable(lead_id)})
    return _known(rows[0] if rows else None, lead_id)


async def check_lead(engine: AsyncEngine, tenant_id: str, lead_id: str) -> None:
    """Raises NotFound if nothing is known of a lead."""
    await _read_one(engine, LEAD, tenant_id, lead_id)


async def _read_one(engine: AsyncEngine, statement: Statement, tenant_id: str, lead_id: str) -> Any:
    rows = await read(engine, statement, tenant_id=tenant_id, lead_id=askable(lead_id))
    return _known(rows[0] if rows else None, lead_id)


def askable(lead_id: str) -> str:
    """The id, if the database can be asked for it: it takes no NUL, and no lead has one. Raises NotFound."""
    _known(None if "\0" in lead_id else lead_id, lead_id)
    return lead_id


def _known(found: Known | None, lead_id: str) -> Known:
    if found is None:
        raise NotFound(f"nothing is known of lead {lead_id!r}")
    return found
