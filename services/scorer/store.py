"""The database as the scorer sees it: what it loads before a batch, and what it writes after it, in one transaction.

The statements go through psycopg directly: batches are what makes the scorer fast, as COPY, arrays and pipelines.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec
import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy.ext.asyncio import AsyncEngine

from services.scorer import statements
from services.scorer.effects import Conflict, Effects, Known, LeadKey
from services.scorer.explanation import explanation_of
from services.scorer.models import dump_model, load_model
from services.scorer.scoring.default_model import default_model
from services.scorer.scoring.fold import Change, Folding
from services.scorer.scoring.lead import PROFILE, Lead
from services.scorer.scoring.model import Model
from services.scorer.wire import Incoming, Report, cause_of
from services.shared.clock import to_datetime
from services.shared.errors import OwnershipLost

IMPORT_ERRORS_MAX = 10_000
"""Refused rows kept of one import: enough to mend a file by, and no way to fill the disk."""
REASON_CONFLICT = 1
REASON_POISON = 2
"""As in the contract's QuarantineReason."""

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@dataclass(frozen=True)
class Announcement:
    """Changes of one tenant that were committed together, as they go out."""

    announcement_id: str
    tenant_id: str
    payload: bytes


class Store:
    """Opens transactions, and keeps the models that were read: a published one never changes."""

    def __init__(self, engine: AsyncEngine, scorer_id: str) -> None:
        self._engine = engine
        self._models: dict[tuple[str, int], Model] = {}
        self.scorer_id = scorer_id

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """A transaction: committed at the end of the context, rolled back if it is left by an exception."""
        async with self._engine.connect() as pooled:
            connection = (await pooled.get_raw_connection()).driver_connection
            assert connection is not None
            try:
                async with connection.transaction():
                    yield Transaction(connection, self._models, self.scorer_id)
            except psycopg.OperationalError:
                with contextlib.suppress(psycopg.Error):
                    await pooled.invalidate()
                raise


class Transaction:
    """What happens between the begin and the commit of one batch."""

    def __init__(self, connection: Connection, models: dict[tuple[str, int], Model], scorer_id: str) -> None:
        self._connection = connection
        self._models = models
        self._scorer_id = scorer_id

    async def lock(self, epochs: Mapping[int, int]) -> dict[int, int]:
        """Locks partitions and answers their positions. Raises OwnershipLost if one is not held in the epoch given."""
        rows = await (await self._connection.execute(statements.LOCK_PARTITIONS, [list(epochs)])).fetchall()
        for partition, _, epoch, owner in rows:
            if owner != self._scorer_id or epoch != epochs[partition]:
                raise OwnershipLost(f"partition {partition} is {owner}'s, epoch {epoch}")
        return {partition: position for partition, position, _, _ in rows}

    async def load(self, facts: Sequence[Incoming]) -> Known:
        """What was stored about the ids and the leads of `facts`."""
        known = Known()
        by_tenant = {
            tenant_id: list(found)
            for tenant_id, found in groupby(sorted(facts, key=attrgetter("tenant_id")), attrgetter("tenant_id"))
        }
        known.models = {tenant_id: await self._model(tenant_id) for tenant_id in by_tenant}
        for tenant_id, incoming in by_tenant.items():
            await self._load_tenant(tenant_id, incoming, known)
        return known

    async def _load_tenant(self, tenant_id: str, facts: Sequence[Incoming], known: Known) -> None:
        event_ids = list({incoming.fact.event_id for incoming in facts})
        lead_ids = list({incoming.fact.lead_id for incoming in facts})
        async with self._connection.pipeline():
            standing = await self._connection.execute(statements.LOAD_STANDING, [tenant_id, event_ids], binary=True)
            set_apart = await self._connection.execute(statements.LOAD_SET_APART, [tenant_id, event_ids], binary=True)
            leads = await self._connection.execute(statements.LOAD_LEADS, [tenant_id, lead_ids], binary=True)
        for event_id, digest, lead_id in await standing.fetchall():
            known.standing[tenant_id, event_id] = digest, lead_id
        for event_id, digest in await set_apart.fetchall():
            known.set_apart.add(((tenant_id, event_id), digest))
        for (state,) in await leads.fetchall():
            lead = msgspec.msgpack.decode(state, type=Lead)
            known.leads[tenant_id, lead.lead_id] = lead

    async def _model(self, tenant_id: str) -> Model:
        row = await (await self._connection.execute(statements.LOAD_TENANTS, [[tenant_id]])).fetchone()
        if row is None:
            return await self.create_tenant(tenant_id)
        version = row[1]
        model = self._models.get((tenant_id, version))
        if model is None:
            stored = await (await self._connection.execute(statements.LOAD_MODEL, [tenant_id, version])).fetchone()
            assert stored is not None, "a tenant's model is written with the tenant"
            model = self._models[tenant_id, version] = load_model(version, stored[0])
        return model

    async def create_tenant(self, tenant_id: str) -> Model:
        """Creates a tenant with the default model, unless it is there."""
        model = default_model()
        await self._connection.execute(statements.CREATE_TENANT, [tenant_id, model.version])
        await self._connection.execute(statements.CREATE_MODEL, [tenant_id, model.version, _jsonb(dump_model(model))])
        return model

    async def write(self, effects: Effects, models: Mapping[str, Model], now_us: int) -> None:
        """Writes what a batch did."""
        now = to_datetime(now_us)
        await self._copy(statements.COPY_EVENTS, statements.EVENT_TYPES, map(_event_row, _by_id(effects.events)))
        changes = (_ledger_row(tenant_id, change, models[tenant_id], now) for tenant_id, change in effects.changes)
        await self._copy(statements.COPY_LEDGER, statements.LEDGER_TYPES, changes)
        async with self._connection.pipeline():
            if effects.foldings:
                await self._connection.execute(statements.UPSERT_LEADS, _columns(_lead_rows(effects, models, now)))
            if moved := [(*key, leads) for key, leads in sorted(effects.score_counts.items()) if leads]:
                await self._connection.execute(statements.ADD_SCORE_COUNTS, _columns(moved))
            for conflict in effects.conflicts:
                await self._connection.execute(statements.INSERT_QUARANTINE, _conflict_row(conflict, now))
            for (tenant_id, import_id, partition), tally in sorted(effects.tallies.items()):
                counts = [tally.accepted, tally.duplicates, tally.conflicts]
                await self._connection.execute(statements.ADD_IMPORT_COUNTS, [tenant_id, import_id, partition, *counts])

    async def set_apart(self, incoming: Incoming, detail: str, now_us: int) -> None:
        """Sets a fact apart that cannot be processed."""
        await self._connection.execute(statements.INSERT_QUARANTINE, _poison_row(incoming, detail, to_datetime(now_us)))

    async def set_apart_unreadable(
        self, tenant_id: str, sequence: int, payload: bytes, detail: str, now_us: int
    ) -> None:
        """Sets a message apart that cannot be read, as it came."""
        now = to_datetime(now_us)
        row = [
            tenant_id,
            f"message {sequence}",
            b"",
            "",
            REASON_POISON,
            _storable(detail),
            "",
            "",
            None,
            now,
            "",
            None,
            payload,
            now,
        ]
        await self._connection.execute(statements.INSERT_QUARANTINE, row)

    async def record(self, reports: Iterable[Report]) -> None:
        """Records the reports of imports."""
        for each in reports:
            report, at = each.report, to_datetime(each.received_us)
            await self._connection.execute(statements.UPSERT_IMPORT, [
                each.tenant_id, report.import_id, report.report_number, report.reading, report.file_name,
                report.rows_read, report.rows_rejected, report.reason, report.consistency_token, at, at,
            ])  # fmt: skip
            if report.rejections:
                rows = [(found.row, found.field, found.description) for found in report.rejections]
                import_key = [each.tenant_id, report.import_id]
                await self._connection.execute(
                    statements.ADD_IMPORT_ERRORS, [*import_key, *_columns(rows), *import_key, IMPORT_ERRORS_MAX]
                )

    async def move(
        self, positions: Mapping[int, int], announcements: Iterable[Announcement], announced: Sequence[str]
    ) -> None:
        """Moves the positions, and with them what is to be announced in, and what has been announced out."""
        async with self._connection.pipeline():
            for number, each in enumerate(announcements):
                await self._connection.execute(
                    statements.INSERT_OUTBOX,
                    [each.announcement_id, self._scorer_id, each.tenant_id, number, each.payload],
                )
            if announced:
                await self._connection.execute(statements.DELETE_OUTBOX, [list(announced)])
            await self._connection.execute(statements.MOVE_PARTITIONS, [list(positions), list(positions.values())])

    async def _copy(self, statement: str, types: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        rows = list(rows)
        if not rows:
            return
        async with self._connection.cursor().copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                await copy.write_row(row)


def _jsonb(value: Any) -> Jsonb:
    return Jsonb(value, dumps=msgspec.json.encode)


def _by_id(events: Iterable[Incoming]) -> list[Incoming]:
    """Two scorers that race for the same ids wait for each other in one order, never in a circle."""
    return sorted(events, key=lambda incoming: (incoming.tenant_id, incoming.fact.event_id))


def _event_row(incoming: Incoming) -> tuple[Any, ...]:
    fact = incoming.fact
    properties = _jsonb(fact.properties) if fact.properties is not None else None
    return (
        incoming.tenant_id, fact.event_id, fact.lead_id, fact.type, to_datetime(fact.occurred_us),
        to_datetime(incoming.received_us), incoming.source, properties, incoming.digest,
    )  # fmt: skip


def _ledger_row(tenant_id: str, change: Change, model: Model, now: datetime) -> tuple[Any, ...]:
    fact, score = change.fact, change.after.score
    contributions = [{"rule": each.rule, "count": each.count, "points": each.points} for each in change.contributions]
    return (
        tenant_id, fact.lead_id, change.version, score - change.score_before, change.score_before, score,
        int(cause_of(fact)), fact.event_id, "" if fact.type == PROFILE else fact.type, to_datetime(fact.occurred_us),
        now, model.version, _jsonb(contributions),
    )  # fmt: skip


def _lead_rows(effects: Effects, models: Mapping[str, Model], now: datetime) -> Iterable[tuple[Any, ...]]:
    for key, folding in sorted(effects.foldings.items(), key=lambda item: item[0]):
        yield _lead_row(key, effects.partitions[key], folding, models[key[0]], now)


def _lead_row(key: LeadKey, partition: int, folding: Folding, model: Model, now: datetime) -> tuple[Any, ...]:
    lead = folding.lead
    return (
        *key, partition, lead.score, lead.engagement, lead.fit, lead.grade, lead.version, lead.event_count,
        _moment(lead.first_event_us), _moment(lead.last_event_us), _jsonb(lead.profile), model.version,
        now.astimezone(UTC).date(), now, msgspec.msgpack.encode(lead), _jsonb(explanation_of(folding)),
    )  # fmt: skip


def _moment(time_us: int | None) -> datetime | None:
    return None if time_us is None else to_datetime(time_us)


def _conflict_row(conflict: Conflict, now: datetime) -> list[Any]:
    incoming, fact = conflict.incoming, conflict.incoming.fact
    detail = "the event id was taken by an event with other content"
    properties = _jsonb(fact.properties) if fact.properties is not None else None
    return [
        incoming.tenant_id, fact.event_id, incoming.digest, fact.lead_id, REASON_CONFLICT, detail,
        conflict.standing_lead_id, fact.type, to_datetime(fact.occurred_us), to_datetime(incoming.received_us),
        incoming.source, properties, None, now,
    ]  # fmt: skip


def _poison_row(incoming: Incoming, detail: str, now: datetime) -> list[Any]:
    """Readable as far as the database can hold it; the payload has the fact as it came."""
    fact = incoming.fact
    event_id, lead_id, event_type = (_storable(text) for text in (fact.event_id, fact.lead_id, fact.type))
    return [
        incoming.tenant_id, event_id, incoming.digest, lead_id, REASON_POISON, _storable(detail), "", event_type,
        None, now, _storable(incoming.source), None, msgspec.msgpack.encode(fact), now,
    ]  # fmt: skip


def _storable(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
