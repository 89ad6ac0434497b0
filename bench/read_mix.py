"""The reads that are measured: each with its request, and with the plain SQL for the same answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from google.protobuf.message import Message
from leadscore.query.v1 import analytics_pb2 as analytics
from leadscore.query.v1 import query_service_pb2 as query

from bench import plain_sql
from bench.histories import TENANT
from bench.plain_sql import AROUND, PAGE
from services.query.reading import encode_key
from services.shared.tokens import encode_positions

MOVER_DAYS = 7
PERIOD_DAYS = 30
FILTER = 'status = "qualified" AND profile.industry = "tech" AND profile.company_size >= 80'
ANEW = encode_positions({0: 0})
"""Any token has an answer worked out that may be given again otherwise."""
SEARCH, BEHIND_SEARCH = "grace ho", "grace hp"

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """A lead and its score, on the leaderboard."""

    lead_id: str
    score: int


@dataclass(frozen=True)
class Read:
    """A read: the RPC with its request, the statement with its parameters; both of the same lead, if of one."""

    rpc: str
    request: Message
    statement: str
    parameters: Parameters
    rows: str = ""
    """The field of the answer that has a message for each row of the statement's; empty if there are others, too."""


def reads(draw_lead: Callable[[], str], middle: Place) -> dict[str, Callable[[], Read]]:
    """What is measured, by name. `draw_lead` draws a lead; `middle` is the last place before the deep page."""
    today = datetime.now(UTC).date()
    of_tenant = {"tenant": TENANT}
    first = datetime.combine(today - timedelta(PERIOD_DAYS), time.min, UTC)
    in_period = {**of_tenant, "start": first, "end": datetime.combine(today, time.max, UTC)}
    token = encode_key((middle.score, middle.lead_id), "leaderboard", "")
    behind = {**of_tenant, "score": middle.score, "lead": middle.lead_id}
    search = {**of_tenant, "search": SEARCH, "behind": BEHIND_SEARCH}

    def same(rpc: str, request: Message, statement: str, parameters: Parameters, rows: str = "") -> Callable[[], Read]:
        read = Read(rpc, request, statement, parameters, rows)
        return lambda: read

    def of_lead(rpc: str, request: Callable[[str], Message], statement: str, rows: str = "") -> Callable[[], Read]:
        def draw() -> Read:
            lead_id = draw_lead()
            return Read(rpc, request(lead_id), statement, {**of_tenant, "lead": lead_id}, rows)

        return draw

    def board(**where: Any) -> Message:
        return query.ListLeaderboardRequest(**where)

    return {
        "top 100": same("ListLeaderboard", board(page_size=PAGE), plain_sql.TOP, of_tenant, "entries"),
        "page 5000": same(
            "ListLeaderboard", board(page_size=PAGE, page_token=token), plain_sql.DEEP, behind, "entries"
        ),
        "around a lead": of_lead(
            "ListLeaderboard",
            lambda lead: board(page_size=AROUND, around_lead_id=lead),
            plain_sql.AROUND_LEAD,
            "entries",
        ),
        "rank": of_lead("GetRank", lambda lead: query.GetRankRequest(lead_id=lead), plain_sql.RANK),
        "lead": of_lead("GetLead", lambda lead: query.GetLeadRequest(lead_id=lead), plain_sql.ONE_LEAD),
        "history": of_lead(
            "ListHistory", lambda lead: query.ListHistoryRequest(lead_id=lead), plain_sql.HISTORY, "entries"
        ),
        "filtered": same("ListLeads", query.ListLeadsRequest(filter=FILTER), plain_sql.FILTERED, of_tenant, "leads"),
        "search": same("ListLeads", query.ListLeadsRequest(search=SEARCH), plain_sql.SEARCHED, search, "leads"),
        "movers": same(
            "ListMovers",
            query.ListMoversRequest(consistency_token=ANEW),
            plain_sql.MOVED,
            {**of_tenant, "since": today - timedelta(MOVER_DAYS)},
            "leads",
        ),
        "activity": same("GetActivity", analytics.GetActivityRequest(), plain_sql.ACTIVITY, in_period, "points"),
        "active leads": same(
            "GetActiveLeads", analytics.GetActiveLeadsRequest(), plain_sql.ACTIVE_LEADS, in_period, "points"
        ),
        "distribution": same("GetDistribution", analytics.GetDistributionRequest(), plain_sql.DISTRIBUTION, in_period),
        "sources": same("GetSources", analytics.GetSourcesRequest(), plain_sql.SOURCES, of_tenant, "sources"),
        "companies": same(
            "GetCompanies", analytics.GetCompaniesRequest(), plain_sql.COMPANIES_FIRST, of_tenant, "companies"
        ),
        "funnel": same("GetFunnel", analytics.GetFunnelRequest(), plain_sql.FUNNEL, in_period),
        "rules": same(
            "GetRuleContributions", analytics.GetRuleContributionsRequest(), plain_sql.RULES, of_tenant, "rules"
        ),
    }
