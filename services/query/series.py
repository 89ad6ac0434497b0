"""A lead's score over time."""

from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.leads import find_lead
from services.query.reading import moment_of, snapshot
from services.query.statements import driver_of
from services.query.wire import set_times
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.schema import LEDGER

POINTS_MAX = 10_000
"""More than any chart shows."""


async def get_score_series(
    engine: AsyncEngine, tenant_id: str, request: contract.GetScoreSeriesRequest
) -> contract.GetScoreSeriesResponse:
    """The newest points of a lead's score, oldest first. Raises InvalidRequest and NotFound."""
    changes = _changes(tenant_id, request)
    points = _days(changes) if request.step == contract.SERIES_STEP_DAY else _moments(changes)
    async with snapshot(engine) as connection:
        await find_lead(driver_of(connection), tenant_id, request.lead_id)
        rows = (await connection.execute(points.limit(POINTS_MAX + 1))).all()
    answer = contract.GetScoreSeriesResponse(truncated=len(rows) > POINTS_MAX)
    for row in reversed(rows[:POINTS_MAX]):
        set_times(answer.points.add(score=row.score_after), at=row.at)
    return answer


def _changes(tenant_id: str, request: contract.GetScoreSeriesRequest) -> Select[Any]:
    """The changes of a lead's score in the time asked for; what a bound hides from the score is none."""
    start, end = moment_of(request, "from"), moment_of(request, "to")
    if start and end and start > end:
        raise InvalidRequest([FieldViolation("from", "must not be after `to`")])
    changes = select(LEDGER.c.sequence, LEDGER.c.recorded_at, LEDGER.c.score_after).where(
        LEDGER.c.tenant_id == tenant_id, LEDGER.c.lead_id == request.lead_id, LEDGER.c.delta != 0
    )
    if start:
        changes = changes.where(LEDGER.c.recorded_at >= start)
    return changes.where(LEDGER.c.recorded_at < end) if end else changes


def _moments(changes: Select[Any]) -> Select[Any]:
    points = changes.subquery()
    return select(points.c.recorded_at.label("at"), points.c.score_after).order_by(points.c.sequence.desc())


def _days(changes: Select[Any]) -> Select[Any]:
    """The last change of each day."""
    points = changes.subquery()
    day = func.date_trunc("day", points.c.recorded_at, "UTC").label("at")
    return select(day, points.c.score_after).ext(distinct_on(day)).order_by(day.desc(), points.c.sequence.desc())
