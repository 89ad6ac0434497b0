"""Events and active leads over time."""

from leadscore.query.v1 import analytics_pb2 as contract
from sqlalchemy import ARRAY, Text, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.analytics.periods import SYSTEM_CLOCK, Period, period_of
from services.query.analytics.sums import COUNT, Kind, about, whole, within
from services.query.reading import read
from services.query.statements import Statement
from services.query.wire import set_times
from services.shared.clock import Clock
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.facts.identity import fold_type
from services.shared.paging import PAGE_BYTES_MAX
from services.shared.schema import ROLLUPS

HOURLY_DAYS_MAX = 31
"""A month by the hour; more is no chart that anybody reads."""
POINTS_MAX = 100_000
"""In one answer, unless long types fill it before. Senders name the types, so there may be any number of them."""


def _steps(kind: Kind, of_types: bool) -> Statement:
    in_order = ROLLUPS.c.at, ROLLUPS.c.name
    query = select(*in_order, whole(COUNT).label("events")).where(*within(kind)).group_by(*in_order)
    if of_types:
        query = query.where(ROLLUPS.c.name == func.any(bindparam("types", type_=ARRAY(Text))))
    return Statement(query.having(COUNT != 0).order_by(*in_order).limit(POINTS_MAX + 1))


STEPS = {
    (kind, of_types): _steps(kind, of_types) for kind in (Kind.EVENTS, Kind.EVENTS_BY_DAY) for of_types in (False, True)
}
OF_DAYS = select(ROLLUPS.c.at, whole(COUNT).label("leads")).where(*within(Kind.ACTIVE_LEADS))
DAYS = Statement(OF_DAYS.group_by(ROLLUPS.c.at).having(COUNT != 0).order_by(ROLLUPS.c.at))


async def get_activity(
    engine: AsyncEngine, tenant_id: str, request: contract.GetActivityRequest, clock: Clock = SYSTEM_CLOCK
) -> contract.GetActivityResponse:
    """Events by hour or day and type. Raises InvalidRequest for a period that cannot be, or is too much."""
    period = period_of(request, clock)
    types = sorted({fold_type(each) for each in request.types})
    steps = STEPS[_kind(request.step, period), bool(types)]
    rows = await read(engine, steps, types=types, **about(tenant_id, period))
    answer = contract.GetActivityResponse()
    for at, name, events in rows[:POINTS_MAX]:
        set_times(answer.points.add(type=name, events=events), at=at)
    if len(rows) > POINTS_MAX or answer.ByteSize() > PAGE_BYTES_MAX:
        description = f"give more than fits one answer, {POINTS_MAX} points; name fewer, or ask for a shorter period"
        raise InvalidRequest([FieldViolation("types", description)])
    return answer


async def get_active_leads(
    engine: AsyncEngine, tenant_id: str, request: contract.GetActiveLeadsRequest, clock: Clock = SYSTEM_CLOCK
) -> contract.GetActiveLeadsResponse:
    """How many leads had an event, by day. Raises InvalidRequest for a period that cannot be."""
    answer = contract.GetActiveLeadsResponse()
    for at, leads in await read(engine, DAYS, **about(tenant_id, period_of(request, clock))):
        set_times(answer.points.add(leads=leads), at=at)
    return answer


def _kind(step: contract.TimeStep.ValueType, period: Period) -> Kind:
    if step != contract.TIME_STEP_HOUR:
        return Kind.EVENTS_BY_DAY
    if len(period) > HOURLY_DAYS_MAX:
        description = f"must not be an hour for more than {HOURLY_DAYS_MAX} days; here it is {len(period)}"
        raise InvalidRequest([FieldViolation("step", description)])
    return Kind.EVENTS
