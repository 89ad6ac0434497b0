"""One batch, one transaction. And what cannot be processed is found, and set apart."""

from __future__ import annotations

import logging
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence

import psycopg

from services.scorer import statements
from services.scorer.batches import Batch, Unreadable
from services.scorer.binary import moment
from services.scorer.effects import Known, work_out
from services.scorer.planning import Plan, Planner
from services.scorer.rows import moved, poison_row, unreadable_row, written
from services.scorer.store import Fence, Session, Store, Transaction
from services.scorer.wire import Incoming, Report
from services.shared.clock import Clock
from services.shared.errors import LeadscoreError

POISON_MAX = 100
"""Facts that one process may set apart as impossible to process. More than that is no bad fact but a bad release: the
process stops, and the facts stay in the stream."""

POISON = (psycopg.DatabaseError, struct.error, ArithmeticError, LookupError, TypeError, ValueError)
"""What a fact that cannot be processed raises, wherever on its way; a database that is away is no fact's fault."""
NOT_POISON = (psycopg.OperationalError, psycopg.errors.UniqueViolation)

logger = logging.getLogger(__name__)


class TooMuchPoison(LeadscoreError):
    """So many facts cannot be processed that the fault is ours."""


class Processor:
    """Commits plans, and sorts out the batches for which that cannot be done."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._poison = 0

    async def commit(
        self, plan: Plan, session: Session, epochs: Mapping[int, int], announced: Sequence[str] = ()
    ) -> None:
        """Commits a plan; what has been `announced` by id leaves the outbox in the same transaction.

        Raises as Session.commit does.
        """
        batch, now = plan.batch, moment(plan.now_us)
        for _ in batch.unreadable:
            self._count_poison()
        set_apart = [unreadable_row(each, now) for each in batch.unreadable]
        parts = [
            *plan.written,
            *([(statements.INSERT_QUARANTINE, set_apart)] if set_apart else []),
            *moved(batch.positions, self._store.scorer_id, plan.announcements, announced),
        ]
        await session.commit(Fence(epochs, plan.before, plan.models, plan.taken_for_new), parts, batch.reports)

    async def sort_out(self, batch: Batch, positions: Mapping[int, int], epochs: Mapping[int, int]) -> None:
        """Processes a batch that failed, after setting apart what cannot be processed of it."""
        async with self._store.session() as session:
            await self._set_poison_apart(batch, session, epochs)
            plan = await Planner(self._clock, positions, min(epochs)).plan(batch, session.now)
            await self.commit(plan, session, epochs)

    async def _set_poison_apart(self, batch: Batch, session: Session, epochs: Mapping[int, int]) -> None:
        """Finds the facts that cannot be processed, each in a transaction that is rolled back, and sets them apart."""
        good = []
        for incoming in batch.facts:
            if (detail := await self._why_poison(incoming, session)) is None:
                good.append(incoming)
                continue
            self._count_poison()
            logger.error("event %s is set apart: %s", incoming.fact.event_id, detail)
            async with session.transaction() as transaction:
                await transaction.lock({incoming.partition: epochs[incoming.partition]})
                row = poison_row(incoming, detail, moment(self._clock.now_us()))
                await transaction.write([(statements.INSERT_QUARANTINE, [row])])
        batch.facts = good
        for report in list(batch.reports):
            if (detail := await self._why_poison_report(report, session)) is not None:
                batch.reports.remove(report)
                payload = report.report.SerializeToString()
                place = report.sequence, report.partition, report.tenant_id
                batch.unreadable.append(Unreadable(*place, payload, detail))

    async def _why_poison(self, incoming: Incoming, session: Session) -> str | None:
        async def attempt(transaction: Transaction) -> None:
            known, now_us = Known(), self._clock.now_us()
            await transaction.load([incoming], known)
            await transaction.write(written(work_out([incoming], known, now_us, incoming.partition), now_us))

        return await self._why_not(attempt, session)

    async def _why_poison_report(self, report: Report, session: Session) -> str | None:
        async def attempt(transaction: Transaction) -> None:
            await transaction.record([report])

        return await self._why_not(attempt, session)

    async def _why_not(self, attempt: Callable[[Transaction], Awaitable[None]], session: Session) -> str | None:
        """Why something cannot be written; None if it can. Writes nothing."""
        try:
            async with session.transaction() as transaction:
                await attempt(transaction)
                raise psycopg.Rollback
        except NOT_POISON:
            raise
        except POISON as error:
            return f"{type(error).__name__}: {error}"
        return None

    def _count_poison(self) -> None:
        self._poison += 1
        if self._poison > POISON_MAX:
            raise TooMuchPoison(f"more than {POISON_MAX} facts cannot be processed; the rest stays in the stream")
