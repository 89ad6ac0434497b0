"""The leads whose score moved the most: what each had before its first change of a time, against what it has now."""

from datetime import date, timedelta
from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import Row, Select, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.board import text_of
from services.query.reading import moment_of, snapshot
from services.shared.clock import Clock, SystemClock, to_datetime
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.schema import LEADS, SCORE_DAYS

SIZE_DEFAULT = 10
"""For a size of 0."""
DAYS_DEFAULT = 7
DAYS_MAX = 400
MOVES_MAX = 1_000_000
"""Days on which leads moved, of all leads together. Which moved the most shows only when each is held against what the
lead has now: for a million that takes the database a second or two, and no index gives it for any day asked for.
"""

SYSTEM_CLOCK = SystemClock()


async def list_movers(
    engine: AsyncEngine, tenant_id: str, request: contract.ListMoversRequest, clock: Clock = SYSTEM_CLOCK
) -> contract.ListMoversResponse:
    """Risers or fallers. Raises InvalidRequest."""
    since = _since(request, to_datetime(clock.now_us()).date())
    query = _moved(tenant_id, since, request.direction != contract.DIRECTION_DOWN, request.size or SIZE_DEFAULT)
    async with snapshot(engine) as connection:
        if (await connection.execute(_moves(tenant_id, since))).scalar_one() > MOVES_MAX:
            description = f"has more than {MOVES_MAX} moves of leads behind it; ask for a later day"
            raise InvalidRequest([FieldViolation("since", description)])
        rows = (await connection.execute(query)).all()
    return contract.ListMoversResponse(leads=[_lead(row) for row in rows])


def _since(request: contract.ListMoversRequest, today: date) -> date:
    moment = moment_of(request, "since")
    since = moment.date() if moment else today - timedelta(DAYS_DEFAULT)
    if since < today - timedelta(DAYS_MAX):
        raise InvalidRequest([FieldViolation("since", f"must be at most {DAYS_MAX} days before today, {today}")])
    return since


def _moves(tenant_id: str, since: date) -> Select[int]:
    """How many there are, counted no further than is needed."""
    some = select(SCORE_DAYS.c.day).where(SCORE_DAYS.c.tenant_id == tenant_id, SCORE_DAYS.c.day >= since)
    return select(func.count()).select_from(some.limit(MOVES_MAX + 1).subquery())


def _moved(tenant_id: str, since: date, up: bool, size: int) -> Select[Any]:
    """The leads that moved the most. What is shown of them is looked up for these alone: rows of leads are wide."""
    of_time = select(SCORE_DAYS.c.lead_id, SCORE_DAYS.c.score_before).where(
        SCORE_DAYS.c.tenant_id == tenant_id, SCORE_DAYS.c.day >= since
    )
    firsts = of_time.ext(distinct_on(SCORE_DAYS.c.lead_id)).order_by(SCORE_DAYS.c.lead_id, SCORE_DAYS.c.day)
    # Else each parallel worker of PostgreSQL would sort them all.
    first = firsts.cte("first").prefix_with("MATERIALIZED")
    delta = (LEADS.c.score - first.c.score_before).label("delta")
    moved = select(first, delta).where(
        LEADS.c.tenant_id == tenant_id, LEADS.c.lead_id == first.c.lead_id, delta > 0 if up else delta < 0
    )
    most = moved.order_by(delta.desc() if up else delta, first.c.lead_id).limit(size).subquery()
    of_profile = [text_of(LEADS.c.profile, key).label(key) for key in ("name", "company")]
    shown = select(most, LEADS.c.score, LEADS.c.grade, *of_profile)
    shown = shown.where(LEADS.c.tenant_id == tenant_id, LEADS.c.lead_id == most.c.lead_id)
    return shown.order_by(most.c.delta.desc() if up else most.c.delta, most.c.lead_id)


def _lead(row: Row[Any]) -> contract.MovedLead:
    return contract.MovedLead(
        lead_id=row.lead_id,
        score_before=row.score_before,
        score=row.score,
        delta=row.delta,
        grade=row.grade,
        name=row.name,
        company=row.company,
    )
