"""The RPCs of the scorer: check, call, translate."""

from typing import Any

from grpc import aio
from leadscore.scorer.v1 import scorer_service_pb2 as contract
from leadscore.scorer.v1 import scorer_service_pb2_grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from services.scorer.explanation import explain
from services.scorer.progress import Progress
from services.scorer.quarantine import list_quarantine
from services.shared.caught_up import CaughtUp
from services.shared.credentials import caller

SERVICE_NAME = "leadscore.scorer.v1.ScorerService"

Context = aio.ServicerContext[Any, Any]


class ScorerService(scorer_service_pb2_grpc.ScorerServiceServicer):
    """Progress, explanations and what was set apart. Requests arrive checked against their field rules."""

    def __init__(self, engine: AsyncEngine, progress: Progress, caught_up: CaughtUp) -> None:
        self._engine = engine
        self._progress = progress
        self._caught_up = caught_up

    async def GetProgress(self, request: contract.GetProgressRequest, context: Context) -> contract.GetProgressResponse:
        """How far the scorers are behind the stream."""
        return await self._progress.report(caller().tenant_id)

    async def ExplainScore(
        self, request: contract.ExplainScoreRequest, context: Context
    ) -> contract.ExplainScoreResponse:
        """Why a lead's score is what it is."""
        await self._caught_up.wait(request.consistency_token, context)
        return await explain(self._engine, caller().tenant_id, request.lead_id)

    async def ListQuarantine(
        self, request: contract.ListQuarantineRequest, context: Context
    ) -> contract.ListQuarantineResponse:
        """A page of what was set apart."""
        await self._caught_up.wait(request.consistency_token, context)
        return await list_quarantine(self._engine, caller().tenant_id, request.page_size, request.page_token)
