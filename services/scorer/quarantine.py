"""What was set apart: listed, looked at, and decided about by a person."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from leadscore.event.v1 import event_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as contract
from leadscore.stream.v1 import stream_pb2
from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.scorer import audit
from services.scorer.lead_state import load_fact
from services.scorer.rows import REASON_CONFLICT
from services.scorer.wire import KINDS, to_struct, to_timestamp
from services.shared.clock import Clock, to_datetime, to_us
from services.shared.credentials import Caller
from services.shared.errors import FailedPrecondition, NotFound
from services.shared.facts import publishing
from services.shared.facts.identity import content_digest
from services.shared.facts.publishing import Publisher
from services.shared.paging import Filling
from services.shared.schema import QUARANTINE
from services.shared.tokens import decode_page, encode_page, encode_positions

PAGE_SIZE_DEFAULT = 50
SHOWN = [column for column in QUARANTINE.c if column.name != "payload"]
"""Without what could not be read, which may be a message of megabytes."""
HELD = contract.QUARANTINE_STATE_HELD
RELEASED = contract.QUARANTINE_STATE_RELEASED
DROPPED = contract.QUARANTINE_STATE_DROPPED

_NAMESPACE = uuid.UUID("0d8f7f0e-52d4-4a6f-9d0b-3f5a6c1f7e22")

Stored = Row[Any]


@dataclass(frozen=True)
class Release:
    """A fact that counts after all, with the digest under which its repeats are known."""

    fact: publishing.Fact
    kind: stream_pb2.FactKind.ValueType


class Quarantine:
    """What was set apart of all tenants."""

    def __init__(self, publisher: Publisher, engine: AsyncEngine, clock: Clock) -> None:
        self._publisher = publisher
        self._engine = engine
        self._clock = clock

    async def list(self, tenant_id: str, request: contract.ListQuarantineRequest) -> contract.ListQuarantineResponse:
        """A page of a tenant's quarantine, newest first."""
        query = select(*SHOWN).where(QUARANTINE.c.tenant_id == tenant_id, QUARANTINE.c.state == (request.state or HELD))
        if (below := decode_page(request.page_token, int)) is not None:
            query = query.where(QUARANTINE.c.item_id < below)
        page = Filling(request.page_size or PAGE_SIZE_DEFAULT, _item)
        async with self._engine.connect() as connection:
            await page.take(connection, query.order_by(QUARANTINE.c.item_id.desc()))
        more = encode_page(page.items[-1].item_id) if page.is_full else ""
        return contract.ListQuarantineResponse(items=page.items, next_page_token=more)

    async def get(self, tenant_id: str, item_id: int) -> contract.QuarantinedEvent:
        """One item. Raises NotFound."""
        async with self._engine.connect() as connection:
            return _item(await _find(connection, tenant_id, item_id))

    async def release(
        self, caller: Caller, request: contract.ReleaseQuarantinedRequest
    ) -> contract.ReleaseQuarantinedResponse:
        """Publishes the fact, and then notes it: a crash in between leaves an item that can be released again, under
        the same id. Raises NotFound, FailedPrecondition.
        """
        async with self._engine.connect() as connection:
            row = await _find(connection, caller.tenant_id, request.item_id)
        if row.state == DROPPED:
            raise FailedPrecondition(f"item {row.item_id} was dropped")
        release, now_us = release_of(row), self._clock.now_us()
        positions = await self._publisher.publish(caller.tenant_id, [release.fact], release.kind, now_us)
        event_id = release.fact.event.event_id
        async with self._engine.begin() as connection:
            item = await self._decide(connection, caller, row, RELEASED, request.note, event_id)
        return contract.ReleaseQuarantinedResponse(
            item=_item(item), event_id=event_id, consistency_token=encode_positions(positions)
        )

    async def drop(self, caller: Caller, request: contract.DropQuarantinedRequest) -> contract.QuarantinedEvent:
        """Notes that an item will not count. Raises NotFound, FailedPrecondition."""
        async with self._engine.begin() as connection:
            row = await _find(connection, caller.tenant_id, request.item_id, lock=True)
            if row.state == RELEASED:
                raise FailedPrecondition(f"item {row.item_id} was released: it counts as event {row.released_event_id}")
            return _item(await self._decide(connection, caller, row, DROPPED, request.note, ""))

    async def _decide(
        self, connection: AsyncConnection, caller: Caller, row: Stored, state: int, note: str, event_id: str
    ) -> Stored:
        if row.state == state:
            return row
        now_us = self._clock.now_us()
        values = {
            "state": state, "decided_at": to_datetime(now_us), "decided_by": caller.actor, "note": note,
            "released_event_id": event_id,
        }  # fmt: skip
        of_item = QUARANTINE.c.tenant_id == caller.tenant_id, QUARANTINE.c.item_id == row.item_id
        decision = update(QUARANTINE).where(*of_item).values(values).returning(QUARANTINE)
        decided: Stored | None = (await connection.execute(decision)).one_or_none()
        if decided is None:
            return row  # The lead was erased meanwhile, maybe by this very fact: nothing is kept of it.
        action = "quarantine.release" if state == RELEASED else "quarantine.drop"
        details = {"event_id": row.event_id, "lead_id": row.lead_id, "note": note, "counts_as": event_id}
        await audit.record(connection, caller, now_us, action, f"quarantine/{row.item_id}", **details)
        return decided


def release_of(row: Stored) -> Release:
    """The fact of an item, as it will count. Raises FailedPrecondition for what cannot be read as one."""
    if row.reason == REASON_CONFLICT:
        event = event_pb2.Event(lead_id=row.lead_id, type=_name(row.type), source=row.source)
        event.occurred_at.CopyFrom(to_timestamp(to_us(row.occurred_at)))
        if row.properties is not None:
            event.properties.CopyFrom(to_struct(row.properties))
        # The same for every release of this content, so that a repeat of the release counts once.
        event.event_id = str(uuid.uuid5(_NAMESPACE, f"{row.event_id}\n{row.digest.hex()}"))
        digest = content_digest(event)
        event.ClearField("properties")
        return Release(publishing.Fact(0, event, _json(row.properties), digest), _kind(row.type))
    if not row.digest:
        raise FailedPrecondition(f"item {row.item_id} is a message that cannot be read; it can only be dropped")
    fact = load_fact(row.payload)
    event = event_pb2.Event(
        event_id=fact.event_id, lead_id=fact.lead_id, type=_name(fact.type), source=fact.source,
        occurred_at=to_timestamp(fact.occurred_us),
    )  # fmt: skip
    return Release(publishing.Fact(0, event, _json(fact.properties), row.digest), _kind(fact.type))


def _json(properties: Mapping[str, Any] | None) -> bytes:
    return b"" if properties is None else msgspec.json.encode(properties)


def _kind(fact_type: str) -> stream_pb2.FactKind.ValueType:
    return KINDS.get(fact_type, stream_pb2.FACT_KIND_EVENT)


def _name(fact_type: str) -> str:
    return fact_type.removeprefix("$")


async def _find(connection: AsyncConnection, tenant_id: str, item_id: int, *, lock: bool = False) -> Stored:
    query = select(QUARANTINE).where(QUARANTINE.c.tenant_id == tenant_id, QUARANTINE.c.item_id == item_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise NotFound(f"nothing with the id {item_id} was set apart")
    return row


def _item(row: Stored) -> contract.QuarantinedEvent:
    item = contract.QuarantinedEvent(
        event_id=row.event_id,
        lead_id=row.lead_id,
        reason=row.reason,
        detail=row.detail,
        type="" if row.type.startswith("$") else row.type,
        kind=_name(row.type) if row.type.startswith("$") else "event",
        source=row.source,
        standing_lead_id=row.standing_lead_id,
        quarantined_at=to_timestamp(to_us(row.quarantined_at)),
        item_id=row.item_id,
        state=row.state,
        decided_by=row.decided_by,
        note=row.note,
        released_event_id=row.released_event_id,
    )
    if row.occurred_at is not None:
        item.occurred_at.CopyFrom(to_timestamp(to_us(row.occurred_at)))
    if row.decided_at is not None:
        item.decided_at.CopyFrom(to_timestamp(to_us(row.decided_at)))
    if row.properties is not None:
        item.properties.CopyFrom(to_struct(row.properties))
    return item
