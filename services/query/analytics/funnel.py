"""How leads go through the pipeline."""

from collections.abc import Iterable, Mapping
from typing import Any

from leadscore.query.v1 import analytics_pb2 as contract
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.analytics.periods import SYSTEM_CLOCK, period_of
from services.query.analytics.sums import COUNT, TOTAL, Kind, about, average, by_name, in_one, whole, within
from services.query.reading import read
from services.query.statements import Statement
from services.shared.clock import Clock
from services.shared.schema import ROLLUPS

STAGE_BEFORE = {"new": "new", "contacted": "new", "qualified": "contacted", "won": "qualified", "lost": "new"}
"""The stages in their order, each with the one whose leads might have come to it; every lead has been new."""

MOVES = select(ROLLUPS.c.name, whole(COUNT).label("leads"), whole(TOTAL).label("total")).where(*within(Kind.MOVES))
PARTS = {
    "standing": by_name(Kind.STATUSES),
    "reached": by_name(Kind.REACHED),
    "moves": MOVES.group_by(ROLLUPS.c.name).having(COUNT != 0),
}
FUNNEL = Statement(in_one(PARTS))


async def get_funnel(
    engine: AsyncEngine, tenant_id: str, request: contract.GetFunnelRequest, clock: Clock = SYSTEM_CLOCK
) -> contract.GetFunnelResponse:
    """The stages now, and the moves of a period. Raises InvalidRequest for a period that cannot be."""
    period = period_of(request, clock)
    found: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    for row in await read(engine, FUNNEL, **about(tenant_id, period)):
        found[row.part][row.name] = row
    stages = [_stage(each, found["standing"], found["reached"]) for each in STAGE_BEFORE]
    return contract.GetFunnelResponse(stages=stages, moves=_moves(found["moves"].values()))


def _stage(status: str, standing: Mapping[str, Any], reached: Mapping[str, Any]) -> contract.FunnelStage:
    stage = contract.FunnelStage(status=status)
    if here := standing.get(status):
        stage.leads, stage.average_score = here.leads, average(here.total, here.leads)
    if come := reached.get(status):
        # The total counts those that have also had the stage before: leads may skip stages.
        before = reached.get(STAGE_BEFORE[status])
        stage.reached, stage.conversion = come.leads, average(come.total, before.leads if before else 0)
    return stage


def _moves(rows: Iterable[Any]) -> list[contract.FunnelMove]:
    found = []
    for row in sorted(rows, key=lambda row: (-row.leads, row.name)):
        before, _, after = row.name.partition(">")
        move = contract.FunnelMove(from_status=before, to_status=after, moves=row.leads)
        move.average_s = average(row.total, row.leads)
        found.append(move)
    return found
