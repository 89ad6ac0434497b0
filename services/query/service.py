"""The RPCs of query: check, call, translate."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc import aio
from leadscore.query.v1 import analytics_pb2 as analytics
from leadscore.query.v1 import export_pb2, query_service_pb2_grpc
from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.analytics.activity import get_active_leads, get_activity
from services.query.analytics.companies import get_companies
from services.query.analytics.distribution import get_distribution
from services.query.analytics.funnel import get_funnel
from services.query.analytics.shares import get_rule_contributions, get_sources
from services.query.announcements import Filter
from services.query.events import list_events
from services.query.exports.export import Exports
from services.query.history import list_history
from services.query.imports import get_import, list_import_errors, list_imports
from services.query.lead_list import list_leads
from services.query.leaderboard import list_leaderboard
from services.query.leads import get_lead, get_rank
from services.query.movers import list_movers
from services.query.places import parse_token
from services.query.recent import Recent, WorkOut
from services.query.series import get_score_series
from services.query.watch import Hub
from services.shared.caught_up import CaughtUp
from services.shared.credentials import caller

SERVICE_NAME = "leadscore.query.v1.QueryService"

Context = aio.ServicerContext[Any, Any]


class QueryService(query_service_pb2_grpc.QueryServiceServicer):
    """Reads. Requests arrive checked against their field rules."""

    def __init__(self, engine: AsyncEngine, hub: Hub, caught_up: CaughtUp) -> None:
        self._engine = engine
        self._hub = hub
        self._caught_up = caught_up
        self._exports = Exports(engine)
        self._recent = Recent()

    async def _recently(self, request: Any, work_out: WorkOut) -> Any:
        """An answer that may be some time old, unless the caller wants to see what it has sent."""
        asked = type(request)()
        asked.CopyFrom(request)
        asked.ClearField("consistency_token")
        question = caller().tenant_id, type(request), asked.SerializeToString(deterministic=True)
        return await self._recent.answer(question, work_out, anew=bool(request.consistency_token))

    async def GetLead(self, request: contract.GetLeadRequest, context: Context) -> contract.Lead:
        """One lead."""
        await self._caught_up.wait(request.consistency_token, context)
        return await get_lead(self._engine, caller().tenant_id, request.lead_id)

    async def ListLeaderboard(
        self, request: contract.ListLeaderboardRequest, context: Context
    ) -> contract.ListLeaderboardResponse:
        """A page of the leaderboard."""
        await self._caught_up.wait(request.consistency_token, context)
        return await list_leaderboard(
            self._engine,
            caller().tenant_id,
            request.page_size,
            request.page_token,
            request.around_lead_id,
            request.filter,
        )

    async def ListLeads(self, request: contract.ListLeadsRequest, context: Context) -> contract.ListLeadsResponse:
        """A page of leads."""
        await self._caught_up.wait(request.consistency_token, context)
        return await list_leads(self._engine, caller().tenant_id, request)

    async def ListEvents(self, request: contract.ListEventsRequest, context: Context) -> contract.ListEventsResponse:
        """A page of a lead's events."""
        await self._caught_up.wait(request.consistency_token, context)
        return await list_events(self._engine, caller().tenant_id, request)

    async def GetScoreSeries(
        self, request: contract.GetScoreSeriesRequest, context: Context
    ) -> contract.GetScoreSeriesResponse:
        """A lead's score over time."""
        await self._caught_up.wait(request.consistency_token, context)
        return await get_score_series(self._engine, caller().tenant_id, request)

    async def ListMovers(self, request: contract.ListMoversRequest, context: Context) -> contract.ListMoversResponse:
        """Risers or fallers."""
        await self._caught_up.wait(request.consistency_token, context)
        tenant_id = caller().tenant_id
        answer: contract.ListMoversResponse = await self._recently(
            request, lambda: list_movers(self._engine, tenant_id, request)
        )
        return answer

    async def GetRank(self, request: contract.GetRankRequest, context: Context) -> contract.GetRankResponse:
        """A lead's rank."""
        await self._caught_up.wait(request.consistency_token, context)
        return await get_rank(self._engine, caller().tenant_id, request.lead_id)

    async def ListHistory(self, request: contract.ListHistoryRequest, context: Context) -> contract.ListHistoryResponse:
        """A page of a lead's ledger."""
        await self._caught_up.wait(request.consistency_token, context)
        tenant_id = caller().tenant_id
        return await list_history(self._engine, tenant_id, request.lead_id, request.page_size, request.page_token)

    async def WatchScores(self, request: contract.WatchScoresRequest, context: Context) -> AsyncIterator[Any]:
        """Score changes as they are committed, each a serialized WatchScoresResponse."""
        wanted = Filter(
            frozenset(request.lead_ids), request.min_score, request.grade_changes_only, request.crossings_only
        )
        since = parse_token(request.resume_token)
        async with aclosing(self._hub.watch(caller().tenant_id, since, wanted)) as messages:
            async for message in messages:
                yield message

    async def WatchLeaderboard(self, request: contract.WatchLeaderboardRequest, context: Context) -> AsyncIterator[Any]:
        """The top of the leaderboard as it changes, each a serialized WatchLeaderboardResponse."""
        async with aclosing(self._hub.leaderboards.watch(caller().tenant_id, request.size)) as messages:
            async for message in messages:
                yield message

    async def Export(
        self, request: export_pb2.ExportRequest, context: Context
    ) -> AsyncIterator[export_pb2.ExportResponse]:
        """Everything of a kind as a file, in pieces."""
        await self._caught_up.wait(request.consistency_token, context)
        async with aclosing(self._exports.export(caller().tenant_id, request)) as pieces:
            async for piece in pieces:
                yield piece

    async def GetImport(self, request: contract.GetImportRequest, context: Context) -> contract.Import:
        """How an import is doing."""
        await self._caught_up.wait(request.consistency_token, context)
        return await get_import(self._engine, caller().tenant_id, request.import_id)

    async def ListImports(self, request: contract.ListImportsRequest, context: Context) -> contract.ListImportsResponse:
        """A page of the imports."""
        return await list_imports(self._engine, caller().tenant_id, request.page_size, request.page_token)

    async def ListImportErrors(
        self, request: contract.ListImportErrorsRequest, context: Context
    ) -> contract.ListImportErrorsResponse:
        """A page of an import's refused rows."""
        tenant_id = caller().tenant_id
        return await list_import_errors(
            self._engine, tenant_id, request.import_id, request.page_size, request.page_token
        )

    async def GetActivity(
        self, request: analytics.GetActivityRequest, context: Context
    ) -> analytics.GetActivityResponse:
        """Events over time."""
        await self._caught_up.wait(request.consistency_token, context)
        return await get_activity(self._engine, caller().tenant_id, request)

    async def GetActiveLeads(
        self, request: analytics.GetActiveLeadsRequest, context: Context
    ) -> analytics.GetActiveLeadsResponse:
        """Active leads by day."""
        await self._caught_up.wait(request.consistency_token, context)
        return await get_active_leads(self._engine, caller().tenant_id, request)

    async def GetDistribution(
        self, request: analytics.GetDistributionRequest, context: Context
    ) -> analytics.GetDistributionResponse:
        """Scores and grades, now and by day."""
        await self._caught_up.wait(request.consistency_token, context)
        return await get_distribution(self._engine, caller().tenant_id, request)

    async def GetSources(self, request: analytics.GetSourcesRequest, context: Context) -> analytics.GetSourcesResponse:
        """Where events and leads come from."""
        await self._caught_up.wait(request.consistency_token, context)
        return await get_sources(self._engine, caller().tenant_id)

    async def GetCompanies(
        self, request: analytics.GetCompaniesRequest, context: Context
    ) -> analytics.GetCompaniesResponse:
        """The companies of the leads."""
        await self._caught_up.wait(request.consistency_token, context)
        tenant_id = caller().tenant_id
        answer: analytics.GetCompaniesResponse = await self._recently(
            request, lambda: get_companies(self._engine, tenant_id, request.size, request.order)
        )
        return answer

    async def GetFunnel(self, request: analytics.GetFunnelRequest, context: Context) -> analytics.GetFunnelResponse:
        """How leads go through the pipeline."""
        await self._caught_up.wait(request.consistency_token, context)
        return await get_funnel(self._engine, caller().tenant_id, request)

    async def GetRuleContributions(
        self, request: analytics.GetRuleContributionsRequest, context: Context
    ) -> analytics.GetRuleContributionsResponse:
        """What rules give."""
        await self._caught_up.wait(request.consistency_token, context)
        return await get_rule_contributions(self._engine, caller().tenant_id)
