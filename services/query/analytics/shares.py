"""What sources, companies and rules give."""

from leadscore.query.v1 import analytics_pb2 as contract
from sqlalchemy import desc, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.analytics.sums import COUNT, PARTS_OF_A_POINT, TOTAL, Kind, average, by_name, whole
from services.query.reading import read
from services.shared.clock import EPOCH
from services.shared.schema import ROLLUPS

SOURCES_MAX = 1_000
COMPANIES = 50
"""For a size of 0."""


async def get_sources(engine: AsyncEngine, tenant_id: str) -> contract.GetSourcesResponse:
    """The sources, those with most leads first, then those with most events."""
    of_leads, of_events = ROLLUPS.c.kind == Kind.SOURCES, ROLLUPS.c.kind == Kind.SOURCE_EVENTS
    leads = whole(COUNT.filter(of_leads)).label("leads")
    events = whole(COUNT.filter(of_events)).label("events")
    query = select(ROLLUPS.c.name, leads, events, whole(TOTAL.filter(of_leads)).label("total"))
    query = query.where(ROLLUPS.c.tenant_id == tenant_id, or_(of_leads, of_events), ROLLUPS.c.at == EPOCH)
    query = query.group_by(ROLLUPS.c.name).having(or_(leads != 0, events != 0))
    rows = await read(engine, query.order_by(desc("leads"), desc("events"), ROLLUPS.c.name).limit(SOURCES_MAX))
    return contract.GetSourcesResponse(
        sources=[
            contract.SourceShare(
                source=row.name, events=row.events, leads=row.leads, average_score=average(row.total, row.leads)
            )
            for row in rows
        ]
    )


async def get_companies(
    engine: AsyncEngine, tenant_id: str, size: int, order: contract.CompanyOrder.ValueType
) -> contract.GetCompaniesResponse:
    """The first companies in an order; equal ones by name."""
    first = "leads" if order == contract.COMPANY_ORDER_LEADS else "total"
    query = by_name(tenant_id, Kind.COMPANIES).order_by(desc(first), ROLLUPS.c.name).limit(size or COMPANIES)
    rows = await read(engine, query)
    return contract.GetCompaniesResponse(
        companies=[
            contract.CompanyShare(
                company=row.name, leads=row.leads, total_score=row.total, average_score=average(row.total, row.leads)
            )
            for row in rows
        ]
    )


async def get_rule_contributions(engine: AsyncEngine, tenant_id: str) -> contract.GetRuleContributionsResponse:
    """What each line of scores gives, those with most points first, equal ones by name."""
    all_scores = select(whole(TOTAL)).where(
        ROLLUPS.c.tenant_id == tenant_id, ROLLUPS.c.kind == Kind.GRADES, ROLLUPS.c.at == EPOCH
    )
    query = by_name(tenant_id, Kind.RULES).add_columns(all_scores.scalar_subquery().label("total_score"))
    rows = await read(engine, query.order_by(desc("total"), ROLLUPS.c.name))
    rules = [contract.RuleShare(rule=row.name, leads=row.leads, points=row.total / PARTS_OF_A_POINT) for row in rows]
    return contract.GetRuleContributionsResponse(rules=rules, total_score=rows[0].total_score if rows else 0)
