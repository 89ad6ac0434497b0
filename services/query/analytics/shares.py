"""What sources and rules give."""

from leadscore.query.v1 import analytics_pb2 as contract
from sqlalchemy import desc, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.analytics.sums import (
    COUNT,
    OF_TENANT,
    PARTS_OF_A_POINT,
    TOTAL,
    Kind,
    average,
    by_name,
    of_kind,
    whole,
)
from services.query.reading import read
from services.query.statements import Statement
from services.shared.clock import EPOCH
from services.shared.schema import ROLLUPS

SOURCES_MAX = 1_000


def _sources() -> Statement:
    of_leads, of_events = of_kind(Kind.SOURCES), of_kind(Kind.SOURCE_EVENTS)
    leads = whole(COUNT.filter(of_leads)).label("leads")
    events = whole(COUNT.filter(of_events)).label("events")
    query = select(ROLLUPS.c.name, leads, events, whole(TOTAL.filter(of_leads)).label("total"))
    query = query.where(OF_TENANT, or_(of_leads, of_events), ROLLUPS.c.at == EPOCH).group_by(ROLLUPS.c.name)
    ordered = query.having(or_(leads != 0, events != 0)).order_by(desc("leads"), desc("events"), ROLLUPS.c.name)
    return Statement(ordered.limit(SOURCES_MAX))


def _lines() -> Statement:
    """The lines of scores, and the sum of all scores."""
    scores = select(whole(TOTAL)).where(OF_TENANT, of_kind(Kind.GRADES), ROLLUPS.c.at == EPOCH)
    lines = by_name(Kind.RULES).add_columns(scores.scalar_subquery().label("total_score"))
    return Statement(lines.order_by(desc("total"), ROLLUPS.c.name))


THE_SOURCES = _sources()
LINES = _lines()


async def get_sources(engine: AsyncEngine, tenant_id: str) -> contract.GetSourcesResponse:
    """The sources, those with most leads first, then those with most events."""
    rows = await read(engine, THE_SOURCES, tenant_id=tenant_id)
    return contract.GetSourcesResponse(
        sources=[
            contract.SourceShare(
                source=row.name, events=row.events, leads=row.leads, average_score=average(row.total, row.leads)
            )
            for row in rows
        ]
    )


async def get_rule_contributions(engine: AsyncEngine, tenant_id: str) -> contract.GetRuleContributionsResponse:
    """What each line of scores gives, those with most points first, equal ones by name."""
    rows = await read(engine, LINES, tenant_id=tenant_id)
    rules = [contract.RuleShare(rule=row.name, leads=row.leads, points=row.total / PARTS_OF_A_POINT) for row in rows]
    return contract.GetRuleContributionsResponse(rules=rules, total_score=rows[0].total_score if rows else 0)
