"""The RPCs of the scorer: check, call, translate."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from grpc import aio
from leadscore.model.v1 import model_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as contract
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from services.scorer.explanation import explain, explain_as_of
from services.scorer.forecasts import forecast_score
from services.scorer.models import read_definition
from services.scorer.operations import Operations
from services.scorer.overrides import Overrides
from services.scorer.progress import Progress
from services.scorer.quarantine import Quarantine
from services.scorer.rule_tests import try_rule
from services.scorer.simulation import simulate
from services.scorer.store import Store
from services.scorer.versions import Versions, faults
from services.shared.caught_up import CaughtUp
from services.shared.clock import US_PER_S, Clock
from services.shared.credentials import caller, idempotency_key
from services.shared.errors import FieldViolation, InvalidRequest

SERVICE_NAME = "leadscore.scorer.v1.ScorerService"

Context = aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class Rooms:
    """What the RPCs call."""

    store: Store
    clock: Clock
    caught_up: CaughtUp
    progress: Progress
    versions: Versions
    operations: Operations
    overrides: Overrides
    quarantine: Quarantine


class ScorerService(scorer_service_pb2_grpc.ScorerServiceServicer):
    """Models, explanations, operations and what was set apart. Requests arrive checked against their field rules."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def GetProgress(self, request: contract.GetProgressRequest, context: Context) -> contract.GetProgressResponse:
        """How far the scorers are behind the stream."""
        return await self._rooms.progress.report(caller().tenant_id)

    async def ListModels(self, request: contract.ListModelsRequest, context: Context) -> contract.ListModelsResponse:
        """A page of the model's versions."""
        tenant_id = await self._tenant()
        return await self._rooms.versions.list(tenant_id, request.page_size, request.page_token)

    async def GetModel(self, request: contract.GetModelRequest, context: Context) -> model_pb2.Model:
        """One version of the model."""
        return await self._rooms.versions.get(await self._tenant(), request.version)

    async def CreateDraft(self, request: contract.CreateDraftRequest, context: Context) -> model_pb2.Model:
        """Makes a draft."""
        await self._tenant()
        return await self._rooms.versions.create(caller(), request)

    async def UpdateDraft(self, request: contract.UpdateDraftRequest, context: Context) -> model_pb2.Model:
        """Edits a draft."""
        await self._tenant()
        return await self._rooms.versions.update(caller(), request)

    async def DeleteDraft(self, request: contract.DeleteDraftRequest, context: Context) -> contract.DeleteDraftResponse:
        """Throws a draft away."""
        await self._tenant()
        await self._rooms.versions.delete(caller(), request.version)
        return contract.DeleteDraftResponse()

    async def ValidateModel(
        self, request: contract.ValidateModelRequest, context: Context
    ) -> contract.ValidateModelResponse:
        """Checks a definition."""
        found = faults(read_definition(request.definition))
        shown = [contract.ModelFault(field=each.path, description=each.description) for each in found]
        return contract.ValidateModelResponse(faults=shown)

    async def PublishModel(
        self, request: contract.PublishModelRequest, context: Context
    ) -> contract.PublishModelResponse:
        """Makes a version the one by which leads are scored."""
        await self._tenant()
        return await self._rooms.versions.publish(caller(), request)

    async def Simulate(
        self, request: contract.SimulateRequest, context: Context
    ) -> AsyncIterator[contract.SimulateResponse]:
        """Tries a version on the whole history."""
        rooms = self._rooms
        tenant_id = await self._tenant()
        async for answer in simulate(rooms.store, rooms.versions, rooms.clock, tenant_id, request):
            yield answer

    async def TestRule(self, request: contract.TestRuleRequest, context: Context) -> contract.TestRuleResponse:
        """Says what a rule makes of an event."""
        return try_rule(request)

    async def Rescore(self, request: contract.RescoreRequest, context: Context) -> contract.Operation:
        """Scores every lead anew."""
        await self._tenant()
        return await self._rooms.operations.rescore(caller())

    async def GetOperation(self, request: contract.GetOperationRequest, context: Context) -> contract.Operation:
        """How an operation is doing."""
        return await self._rooms.operations.get(caller().tenant_id, request.operation_id)

    async def ListOperations(
        self, request: contract.ListOperationsRequest, context: Context
    ) -> contract.ListOperationsResponse:
        """A page of operations."""
        return await self._rooms.operations.list(caller().tenant_id, request.page_size, request.page_token)

    async def CancelOperation(self, request: contract.CancelOperationRequest, context: Context) -> contract.Operation:
        """Stops an operation."""
        return await self._rooms.operations.cancel(caller(), request.operation_id)

    async def OverrideScore(
        self, request: contract.OverrideScoreRequest, context: Context
    ) -> contract.OverrideScoreResponse:
        """Sets a score by hand."""
        return await self._rooms.overrides.set(caller(), request, idempotency_key(context.invocation_metadata()))

    async def ClearOverride(
        self, request: contract.ClearOverrideRequest, context: Context
    ) -> contract.ClearOverrideResponse:
        """Takes a score set by hand back."""
        return await self._rooms.overrides.clear(caller(), request, idempotency_key(context.invocation_metadata()))

    async def ForecastScore(
        self, request: contract.ForecastScoreRequest, context: Context
    ) -> contract.ForecastScoreResponse:
        """What becomes of a score if nothing happens."""
        await self._rooms.caught_up.wait(request.consistency_token, context)
        tenant_id, rooms = caller().tenant_id, self._rooms
        return await forecast_score(rooms.store, rooms.clock, tenant_id, request.lead_id, request.days)

    async def ExplainScore(
        self, request: contract.ExplainScoreRequest, context: Context
    ) -> contract.ExplainScoreResponse:
        """Why a lead's score is what it is, or was."""
        rooms = self._rooms
        await rooms.caught_up.wait(request.consistency_token, context)
        if not request.HasField("as_of"):
            if request.model_version:
                raise InvalidRequest([FieldViolation("model_version", "is only for a score as_of a time")])
            return await explain(rooms.store, caller().tenant_id, request.lead_id)
        as_of_us = request.as_of.seconds * US_PER_S + request.as_of.nanos // 1_000
        if as_of_us > rooms.clock.now_us():
            raise InvalidRequest([FieldViolation("as_of", "must not be in the future; a forecast looks there")])
        tenant_id = await self._tenant()
        version = request.model_version
        return await explain_as_of(rooms.store, rooms.versions, tenant_id, request.lead_id, as_of_us, version)

    async def ListQuarantine(
        self, request: contract.ListQuarantineRequest, context: Context
    ) -> contract.ListQuarantineResponse:
        """A page of what was set apart."""
        await self._rooms.caught_up.wait(request.consistency_token, context)
        return await self._rooms.quarantine.list(caller().tenant_id, request)

    async def GetQuarantined(
        self, request: contract.GetQuarantinedRequest, context: Context
    ) -> contract.QuarantinedEvent:
        """One event that was set apart."""
        return await self._rooms.quarantine.get(caller().tenant_id, request.item_id)

    async def ReleaseQuarantined(
        self, request: contract.ReleaseQuarantinedRequest, context: Context
    ) -> contract.ReleaseQuarantinedResponse:
        """Counts an event that was set apart."""
        return await self._rooms.quarantine.release(caller(), request)

    async def DropQuarantined(
        self, request: contract.DropQuarantinedRequest, context: Context
    ) -> contract.QuarantinedEvent:
        """Decides that an event will not count."""
        return await self._rooms.quarantine.drop(caller(), request)

    async def _tenant(self) -> str:
        """The tenant of the call, with its model: one that has sent nothing yet has the default."""
        tenant_id = caller().tenant_id
        await self._rooms.store.ensure_tenant(tenant_id)
        return tenant_id
