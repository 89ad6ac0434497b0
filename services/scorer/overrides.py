"""Scores set by hand: facts about a lead, on the same stream as all others."""

from collections.abc import Mapping
from typing import Any

from leadscore.event.v1 import event_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as contract
from leadscore.stream.v1 import stream_pb2
from sqlalchemy.ext.asyncio import AsyncEngine

from services.scorer import audit
from services.scorer.wire import to_struct
from services.shared.clock import US_PER_S, Clock
from services.shared.credentials import Caller
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.facts.publishing import Publisher, identify
from services.shared.tokens import encode_positions


class Overrides:
    """Sets scores by hand, and takes that back."""

    def __init__(self, publisher: Publisher, engine: AsyncEngine, clock: Clock) -> None:
        self._publisher = publisher
        self._engine = engine
        self._clock = clock

    async def set(
        self, caller: Caller, request: contract.OverrideScoreRequest, idempotency_key: str | None
    ) -> contract.OverrideScoreResponse:
        """Sets a score by hand. Raises InvalidRequest for an end that has passed."""
        said: dict[str, Any] = {"score": request.score, "reason": request.reason}
        details = dict(said)
        if request.HasField("until"):
            until_us = request.until.seconds * US_PER_S + request.until.nanos // 1_000
            if until_us <= self._clock.now_us():
                raise InvalidRequest([FieldViolation("until", "must be in the future")])
            said["until_us"] = until_us
            details["until"] = request.until.ToJsonString()
        said["actor"] = caller.actor
        event_id, token = await self._publish(caller, request.lead_id, request.event_id, said, idempotency_key)
        await self._record(caller, "override.set", request.lead_id, details)
        return contract.OverrideScoreResponse(event_id=event_id, consistency_token=token)

    async def clear(
        self, caller: Caller, request: contract.ClearOverrideRequest, idempotency_key: str | None
    ) -> contract.ClearOverrideResponse:
        """Takes a score set by hand back."""
        said = {"actor": caller.actor}
        event_id, token = await self._publish(caller, request.lead_id, request.event_id, said, idempotency_key)
        await self._record(caller, "override.clear", request.lead_id, {})
        return contract.ClearOverrideResponse(event_id=event_id, consistency_token=token)

    async def _publish(
        self, caller: Caller, lead_id: str, event_id: str, said: Mapping[str, Any], idempotency_key: str | None
    ) -> tuple[str, str]:
        event = event_pb2.Event(event_id=event_id, lead_id=lead_id, type="override", properties=to_struct(said))
        now_us = self._clock.now_us()
        fact = identify(0, event, now_us, idempotency_key)
        kind = stream_pb2.FACT_KIND_OVERRIDE
        positions = await self._publisher.publish(caller.tenant_id, [fact], kind, now_us)
        return event.event_id, encode_positions(positions)

    async def _record(self, caller: Caller, action: str, lead_id: str, details: Mapping[str, Any]) -> None:
        async with self._engine.begin() as connection:
            await audit.record(connection, caller, self._clock.now_us(), action, f"lead/{lead_id}", **details)
