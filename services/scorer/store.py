"""The database as the scorer sees it: what it loads before a batch, and what it writes after it, in one transaction.

The statements go through psycopg directly: batches are what makes the scorer fast, as COPY, arrays and pipelines.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy.ext.asyncio import AsyncEngine

from services.scorer import cache, statements
from services.scorer.arrays import Array, array
from services.scorer.conditions.expression import compile_model
from services.scorer.effects import EventCount, EventKey, Known, LeadKey
from services.scorer.erased_rows import count_events
from services.scorer.gathered import ROWS_AT_ONCE_MAX, CopyData, Gathered, Parts, in_rows
from services.scorer.histories import load_histories
from services.scorer.lead_state import load_lead
from services.scorer.models import dump_model, load_model
from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.default_model import default_model
from services.scorer.scoring.fold import Folding
from services.scorer.scoring.lead import Lead
from services.scorer.scoring.replay import History
from services.scorer.wire import Incoming, Report
from services.shared.clock import to_datetime
from services.shared.errors import LeadscoreError, OwnershipLost

IMPORT_ERRORS_MAX = 10_000
"""Refused rows kept of one import: enough to mend a file by, and no way to fill the disk."""
NO_MODELS: Mapping[str, CompiledModel] = {}


class Superseded(LeadscoreError):
    """What a batch was worked out for has changed: work it out again, from the committed positions."""


Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Cursor = psycopg.AsyncCursor[tuple[Any, ...]]


@dataclass(frozen=True)
class Fence:
    """What a batch was worked out for: it is committed only if all of this is still so."""

    epochs: Mapping[int, int]
    positions: Mapping[int, int]
    models: Mapping[str, int]
    # Events that were taken for new without a look.
    taken_for_new: Sequence[EventKey] = ()


@dataclass(frozen=True)
class Work:
    """An operation that scores leads anew by a version of the model."""

    tenant_id: str
    operation_id: int
    model_version: int


class Store:
    """Opens transactions, and keeps the models that were read: a published one never changes."""

    def __init__(self, engine: AsyncEngine, scorer_id: str) -> None:
        self._engine = engine
        self._models: dict[tuple[str, int], CompiledModel] = {}
        self.scorer_id = scorer_id

    async def ensure_tenant(self, tenant_id: str) -> None:
        """Makes sure that a tenant and its model are there."""
        async with self.transaction() as transaction:
            await transaction.todays_model(tenant_id)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator["Transaction"]:
        """A transaction that only reads, and sees everything as it was at its start."""
        async with self.transaction() as transaction:
            await transaction.freeze()
            yield transaction

    @asynccontextmanager
    async def session(self) -> AsyncIterator["Session"]:
        """A connection for many transactions, one after the other; the only kind that can write leads."""
        async with self._engine.connect() as pooled:
            connection = (await pooled.get_raw_connection()).driver_connection
            assert connection is not None
            await connection.set_autocommit(True)
            await connection.execute(statements.BE_QUICK)
            await connection.execute(statements.CREATE_STAGING)
            try:
                yield Session(connection, self._models, self.scorer_id)
            finally:
                with contextlib.suppress(psycopg.Error):
                    await pooled.invalidate()

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


class Session:
    """A connection of its own. What it reads outside of a transaction is what was committed by then."""

    def __init__(self, connection: Connection, models: dict[tuple[str, int], CompiledModel], scorer_id: str) -> None:
        self._connection = connection
        self._models = models
        self._scorer_id = scorer_id
        self._raw = psycopg.AsyncRawCursor(connection)
        self.now = Transaction(connection, models, scorer_id)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """A transaction: committed at the end of the context, rolled back if it is left by an exception."""
        async with self._connection.transaction():
            yield self.now

    async def commit(self, fence: Fence, parts: Parts, reports: Sequence[Report] = ()) -> None:
        """Does all parts and records the reports, or nothing.

        Raises OwnershipLost if a partition was taken over, Superseded if the fence does not hold for another reason or
        an event is stored already, and psycopg.OperationalError if the outcome is unknown.
        """
        try:
            await self._commit(fence, parts, reports)
        except psycopg.errors.UniqueViolation as error:
            raise Superseded("an event that was taken for new is stored already") from error

    async def _commit(self, fence: Fence, parts: Parts, reports: Sequence[Report]) -> None:
        in_order = bool(reports) or any(isinstance(part, statements.Removal) for part, _ in parts)
        if not in_order and sum(len(rows) for _, rows in parts) <= ROWS_AT_ONCE_MAX:
            await self._commit_at_once(fence, parts)
            return
        async with self.transaction() as transaction:
            await transaction.take(fence)
            await transaction.write(parts)
            await transaction.record(reports)

    async def _commit_at_once(self, fence: Fence, parts: Parts) -> None:
        """One statement is a transaction of its own: one way to the server and back."""
        epochs = [fence.epochs[partition] for partition in fence.positions]
        expected = (
            array("int2", list(fence.positions)), array("int8", list(fence.positions.values())), array("int8", epochs),
            self._scorer_id, array("text", list(fence.models)), array("int4", list(fence.models.values())),
            *_columns(fence.taken_for_new), len(fence.positions), len(fence.models),
        )  # fmt: skip
        columns = [column for part, rows in parts for column in part.arrays(in_rows(rows))]
        statement = statements.at_once(tuple(part for part, _ in parts))
        held = await (await self._raw.execute(statement, [*expected, *columns])).fetchone()
        if held != (True,):
            raise Superseded("a partition has moved, another model was published, or an event was erased")


def _columns(events: Sequence[EventKey]) -> list[Array]:
    return [array("text", [event[number] for event in events]) for number in (0, 1)]


class Transaction:
    """What happens between the begin and the commit of one batch."""

    def __init__(
        self,
        connection: Connection,
        models: dict[tuple[str, int], CompiledModel],
        scorer_id: str,
    ) -> None:
        self._connection = connection
        self._models = models
        self._scorer_id = scorer_id

    def gathering(self) -> Gathered:
        """An empty list of what is to be written."""
        return Gathered(self._connection)

    async def freeze(self) -> None:
        """Nothing that others commit from now on is seen, and nothing can be written."""
        await self._connection.execute(statements.FREEZE)

    async def lock(self, epochs: Mapping[int, int]) -> dict[int, int]:
        """Locks partitions and answers their positions. Raises OwnershipLost if one is not held in the epoch given."""
        held = await (await self._connection.execute(statements.LOCK_PARTITIONS, [list(epochs)])).fetchall()
        for partition, _, epoch, owner in held:
            self._check_owner(partition, epoch, owner, epochs)
        return {partition: position for partition, position, _, _ in held}

    def _check_owner(self, partition: int, epoch: int, owner: str, epochs: Mapping[int, int]) -> None:
        if owner != self._scorer_id or epoch != epochs[partition]:
            raise OwnershipLost(f"partition {partition} is {owner}'s, epoch {epoch}")

    async def load(
        self,
        facts: Sequence[Incoming],
        known: Known,
        foldings: dict[LeadKey, Folding] | None = None,
        models: Mapping[str, CompiledModel] = NO_MODELS,
        *,
        new: bool = False,
    ) -> None:
        """Adds to `known` what is stored about the ids and the leads of `facts`. Leads that are cached are as they are
        there, by today's model, and those with `foldings` as they are in these; tenants have the models that are given,
        and with `new` the ids are taken for new.
        """
        by_tenant: dict[str, list[Incoming]] = {}
        for each in facts:
            by_tenant.setdefault(each.tenant_id, []).append(each)
        for tenant_id, incoming in by_tenant.items():
            if tenant_id not in known.models:
                known.models[tenant_id] = models.get(tenant_id) or await self.todays_model(tenant_id)
            event_ids = [] if new else list({each.fact.event_id for each in incoming})
            lead_ids = cache.missing(tenant_id, incoming, known.cached, foldings or {})
            await self._load_known(tenant_id, event_ids, lead_ids, known)

    async def _load_known(
        self,
        tenant_id: str,
        event_ids: Sequence[str],
        lead_ids: Sequence[str],
        known: Known,
    ) -> None:
        leads = []
        for what, event_id, content, lead_id in await self._look_up(tenant_id, event_ids, lead_ids):
            if what == statements.STANDING:
                known.standing[tenant_id, event_id] = content, lead_id
            elif what == statements.SET_APART:
                known.set_apart.add(((tenant_id, event_id), content))
            elif what == statements.ERASED:
                known.set_apart.add(((tenant_id, event_id), content))
                known.standing.setdefault((tenant_id, event_id), (content, ""))
            else:
                leads.append(load_lead(content))
        known.leads |= {(tenant_id, lead.lead_id): lead for lead in leads}
        model = known.models[tenant_id]
        if stale := [lead.lead_id for lead in leads if lead.model_version != model.version]:
            histories = await load_histories(self._connection, tenant_id, stale, model)
            known.histories |= {(tenant_id, lead_id): history for lead_id, history in histories.items()}

    async def _look_up(self, tenant_id: str, event_ids: Sequence[str], lead_ids: Sequence[str]) -> list[Any]:
        """The rows of LOAD_KNOWN."""
        if not event_ids and not lead_ids:
            return []
        asked = {"tenant_id": tenant_id, "event_ids": array("text", event_ids), "lead_ids": array("text", lead_ids)}
        # A plan for many is made each time: one that was made while the tables were almost empty walks from end to end
        # of an index that begins and ends as the key does, for each lead.
        prepare = False if len(event_ids) + len(lead_ids) > ROWS_AT_ONCE_MAX else None
        found = await self._connection.execute(statements.LOAD_KNOWN, asked, binary=True, prepare=prepare)
        return await found.fetchall()

    async def todays_model(self, tenant_id: str) -> CompiledModel:
        """The model by which a tenant's leads are scored. A tenant that is not there is created with the default."""
        row = await (await self._connection.execute(statements.LOAD_TENANTS, [[tenant_id]])).fetchone()
        if row is None:
            return await self._create_tenant(tenant_id)
        return await self.model(tenant_id, row[1])

    async def model(self, tenant_id: str, version: int) -> CompiledModel:
        """A published version of a tenant's model."""
        model = self._models.get((tenant_id, version))
        if model is None:
            stored = await (await self._connection.execute(statements.LOAD_MODEL, [tenant_id, version])).fetchone()
            assert stored is not None, "a tenant's model is written with the tenant"
            model = self._models[tenant_id, version] = compile_model(load_model(version, stored[0]))
        return model

    async def _create_tenant(self, tenant_id: str) -> CompiledModel:
        model = default_model()
        definition = Jsonb(dump_model(model))
        await self._connection.execute(statements.CREATE_TENANT, [tenant_id, model.version])
        await self._connection.execute(statements.CREATE_MODEL, [tenant_id, model.version, definition])
        return compile_model(model)

    async def take(self, fence: Fence) -> None:
        """Locks the partitions of a batch that was worked out before, and checks that it may still be written.

        Raises OwnershipLost if one is not held in the epoch given, and Superseded if its position or a tenant's model
        is not the one that the batch was worked out for, or an event that was taken for new was erased.
        """
        async with self._connection.pipeline():
            locked = await self._connection.execute(statements.LOCK_PARTITIONS, [list(fence.positions)])
            published = await self._connection.execute(statements.LOAD_TENANTS, [list(fence.models)])
            erased = await self._connection.execute(statements.ERASED_AMONG, _columns(fence.taken_for_new))
        for partition, position, epoch, owner in await locked.fetchall():
            self._check_owner(partition, epoch, owner, fence.epochs)
            if position != fence.positions[partition]:
                raise Superseded(f"partition {partition} is at {position}, not {fence.positions[partition]}")
        if dict(await published.fetchall()) != fence.models:
            raise Superseded("another model was published")
        if erased.rowcount:
            raise Superseded("an event that was taken for new was erased")

    async def write(self, parts: Parts) -> None:
        """Does all parts: removals, then COPY into the tables that rows are put into, and the rest after it."""
        for part, found in parts:
            if isinstance(part, statements.Removal):
                await self._connection.execute(part.sql, part.arrays(in_rows(found)))
        for part, found in parts:
            if isinstance(part, statements.Target):
                data = found if isinstance(found, CopyData) else CopyData(part, self._connection, found)
                async with self._connection.cursor().copy(part.copy) as copy:
                    for block in data.blocks():
                        await copy.write(block)
        async with self._connection.pipeline():
            for part, found in parts:
                if isinstance(part, statements.Target):
                    if part.move:
                        await self._connection.execute(part.move)
                elif not isinstance(part, statements.Removal):
                    await self._connection.execute(part.sql, part.arrays(in_rows(found)))

    async def record(self, reports: Iterable[Report]) -> None:
        """Records the reports of imports."""
        for each in reports:
            report, at = each.report, to_datetime(each.received_us)
            await self._connection.execute(statements.UPSERT_IMPORT, [
                each.tenant_id, report.import_id, report.report_number, report.reading, report.file_name,
                report.rows_read, report.rows_rejected, report.reason, report.consistency_token, at, at,
            ])  # fmt: skip
            if report.rejections:
                refused = [(found.row, found.field, found.description) for found in report.rejections]
                import_key, add = [each.tenant_id, report.import_id], statements.ADD_IMPORT_ERRORS
                bounded = [*import_key, *add.arrays(refused), *import_key, IMPORT_ERRORS_MAX]
                await self._connection.execute(add.sql, bounded)

    async def count_events(self, facts: Sequence[Incoming]) -> dict[LeadKey, list[EventCount]]:
        """The stored events of the leads that `facts` erase."""
        return await count_events(self._connection, facts)

    async def load_lead(self, tenant_id: str, lead_id: str) -> Lead | None:
        """One lead, if anything is known of it."""
        found = await self._connection.execute(statements.LOAD_LEAD, [tenant_id, lead_id], binary=True)
        row = await found.fetchone()
        return load_lead(row[0]) if row else None

    async def count_leads(self, tenant_id: str) -> int:
        """How many leads a tenant has."""
        row = await (await self._connection.execute(statements.COUNT_LEADS, [tenant_id])).fetchone()
        return int(row[0]) if row else 0

    async def partitions(self) -> list[int]:
        """All partitions."""
        return [row[0] for row in await (await self._connection.execute(statements.LOAD_PARTITIONS)).fetchall()]

    async def load_histories(
        self, tenant_id: str, lead_ids: Sequence[str], model: CompiledModel, until_us: int | None = None
    ) -> dict[str, History]:
        """The whole histories of leads, for a model to be applied to; only what had happened by a time, if given."""
        return await load_histories(self._connection, tenant_id, lead_ids, model, until_us)

    async def load_due(self, partitions: Sequence[int], now_us: int, limit: int) -> list[tuple[str, int, Lead]]:
        """Leads of some partitions that time alone may have changed, each with its tenant and partition."""
        scope = [list(partitions), to_datetime(now_us), limit]
        due = await self._connection.execute(statements.LOAD_DUE, scope, binary=True)
        return [(tenant_id, partition, load_lead(state)) for tenant_id, partition, state in await due.fetchall()]

    async def load_leads_after(
        self, tenant_id: str, after: str, partitions: Sequence[int], limit: int
    ) -> list[tuple[int, Lead]]:
        """The next leads of some partitions in the order of their ids, each with its partition."""
        scope = [tenant_id, after, list(partitions), limit]
        found = await self._connection.execute(statements.LOAD_LEADS_AFTER, scope, binary=True)
        return [(partition, load_lead(state)) for partition, state in await found.fetchall()]

    async def has_due(self, partitions: Sequence[int], now_us: int) -> bool:
        """Whether time alone may have changed a lead of some partitions."""
        scope = [list(partitions), to_datetime(now_us)]
        row = await (await self._connection.execute(statements.HAS_DUE, scope)).fetchone()
        return bool(row and row[0])

    async def next_work(self, partitions: Sequence[int]) -> Work | None:
        """The oldest operation that has something to do in some partitions."""
        row = await (await self._connection.execute(statements.LOAD_WORK, [list(partitions)])).fetchone()
        return Work(*row) if row else None

    async def lock_work(self, work: Work, partitions: Sequence[int]) -> dict[int, str]:
        """Holds an operation's places in some partitions: the lead up to which each is done. None if it was ended."""
        scope = [work.tenant_id, work.operation_id, list(partitions)]
        return dict(await (await self._connection.execute(statements.LOCK_WORK, scope)).fetchall())

    async def move_work(self, work: Work, partitions: Sequence[int], cursor: str, done: int, changed: int) -> None:
        """An operation has done some leads, and every one up to `cursor`."""
        key = [work.tenant_id, work.operation_id]
        async with self._connection.pipeline():
            await self._connection.execute(statements.MOVE_WORK, [cursor, *key, list(partitions)])
            await self._connection.execute(statements.ADD_WORK_DONE, [done, changed, *key])

    async def end_work(self, work: Work, partitions: Sequence[int], now_us: int) -> None:
        """An operation has nothing left to do in some partitions; if they were the last ones, it is done."""
        key = [work.tenant_id, work.operation_id]
        await self._connection.execute(statements.LOCK_OPERATION, key)
        await self._connection.execute(statements.END_WORK, [*key, list(partitions)])
        await self._connection.execute(statements.END_OPERATION, [to_datetime(now_us), *key])
