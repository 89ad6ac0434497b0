"""How leads go through the pipeline."""

from collections.abc import Mapping
from typing import Any

from leadscore.query.v1 import analytics_pb2 as contract
from sqlalchemy import Row, desc, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.query.analytics.periods import SYSTEM_CLOCK, Period, period_of
from services.query.analytics.sums import COUNT, TOTAL, Kind, average, by_name, whole, within
from services.query.reading import snapshot
from services.shared.clock import Clock
from services.shared.schema import ROLLUPS

STAGE_BEFORE = {"new": "new", "contacted": "new", "qualified": "contacted", "won": "qualified", "lost": "new"}
"""The stages in their order, each with the one whose leads might have come to it; every lead has been new."""


async def get_funnel(
    engine: AsyncEngine, tenant_id: str, request: contract.GetFunnelRequest, clock: Clock = SYSTEM_CLOCK
) -> contract.GetFunnelResponse:
    """The stages now, and the moves of a period. Raises InvalidRequest for a period that cannot be."""
    period = period_of(request, clock)
    async with snapshot(engine) as connection:
        standing = {row.name: row for row in await connection.execute(by_name(tenant_id, Kind.STATUSES))}
        reached = {row.name: row for row in await connection.execute(by_name(tenant_id, Kind.REACHED))}
        moves = await _moves(connection, tenant_id, period)
    return contract.GetFunnelResponse(stages=[_stage(each, standing, reached) for each in STAGE_BEFORE], moves=moves)


def _stage(status: str, standing: Mapping[str, Row[Any]], reached: Mapping[str, Row[Any]]) -> contract.FunnelStage:
    stage = contract.FunnelStage(status=status)
    if here := standing.get(status):
        stage.leads, stage.average_score = here.leads, average(here.total, here.leads)
    if come := reached.get(status):
        # The total counts those that have also had the stage before: leads may skip stages.
        before = reached.get(STAGE_BEFORE[status])
        stage.reached, stage.conversion = come.leads, average(come.total, before.leads if before else 0)
    return stage


async def _moves(connection: AsyncConnection, tenant_id: str, period: Period) -> list[contract.FunnelMove]:
    sums = select(ROLLUPS.c.name, whole(COUNT).label("moves"), whole(TOTAL).label("seconds"))
    query = sums.where(*within(tenant_id, Kind.MOVES, period)).group_by(ROLLUPS.c.name).having(COUNT != 0)
    found = []
    for row in await connection.execute(query.order_by(desc("moves"), ROLLUPS.c.name)):
        before, _, after = row.name.partition(">")
        move = contract.FunnelMove(from_status=before, to_status=after, moves=row.moves)
        move.average_s = average(row.seconds, row.moves)
        found.append(move)
    return found
