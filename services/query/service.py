"""The RPCs of query: check, call, translate."""

from collections.abc import AsyncIterator
from typing import Any

from grpc import aio
from leadscore.query.v1 import query_service_pb2 as contract
from leadscore.query.v1 import query_service_pb2_grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.announcements import Filter
from services.query.history import list_history
from services.query.imports import get_import, list_import_errors
from services.query.leaderboard import list_leaderboard
from services.query.leads import get_lead, get_rank
from services.query.places import parse_token
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

    async def GetLead(self, request: contract.GetLeadRequest, context: Context) -> contract.Lead:
        """One lead."""
        await self._caught_up.wait(request.consistency_token, context)
        return await get_lead(self._engine, caller().tenant_id, request.lead_id)

    async def ListLeaderboard(
        self, request: contract.ListLeaderboardRequest, context: Context
    ) -> contract.ListLeaderboardResponse:
        """A page of the leaderboard."""
        await self._caught_up.wait(request.consistency_token, context)
        return await list_leaderboard(self._engine, caller().tenant_id, request.page_size, request.page_token)

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
        wanted = Filter(frozenset(request.lead_ids), request.min_score, request.grade_changes_only)
        async for message in self._hub.watch(caller().tenant_id, parse_token(request.resume_token), wanted):
            yield message

    async def GetImport(self, request: contract.GetImportRequest, context: Context) -> contract.Import:
        """How an import is doing."""
        await self._caught_up.wait(request.consistency_token, context)
        return await get_import(self._engine, caller().tenant_id, request.import_id)

    async def ListImportErrors(
        self, request: contract.ListImportErrorsRequest, context: Context
    ) -> contract.ListImportErrorsResponse:
        """A page of an import's refused rows."""
        tenant_id = caller().tenant_id
        return await list_import_errors(
            self._engine, tenant_id, request.import_id, request.page_size, request.page_token
        )
