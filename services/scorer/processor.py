"""One batch, one transaction: lock, load, work out, write, move on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import psycopg
from leadscore.score.v1 import score_pb2
from leadscore.stream.v1 import stream_pb2

from services.scorer.effects import Effects, work_out
from services.scorer.store import Announcement, Store, Transaction
from services.scorer.wire import Incoming, Report, UnreadableMessage, read_message, to_update
from services.shared.bus import StreamMessage
from services.shared.clock import Clock
from services.shared.errors import LeadscoreError

UPDATES_MAX = 2_000
"""Updates in one announcement: below the stream's limit for a message, and soon with the watchers."""
POISON_MAX = 100
"""Facts that one process may set apart as impossible to process. More than that is no bad fact but a bad release: the
process stops, and the facts stay in the stream."""

POISON = (psycopg.DatabaseError, ArithmeticError, LookupError, TypeError, ValueError)
"""What a fact that cannot be processed raises, wherever on its way; a database that is away is no fact's fault."""

logger = logging.getLogger(__name__)


class TooMuchPoison(LeadscoreError):
    """So many facts cannot be processed that the fault is ours."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What cannot even be taken for facts, as it came."""

    sequence: int
    partition: int
    tenant_id: str
    payload: bytes


@dataclass(slots=True)
class Batch:
    """Messages that are processed together, taken apart."""

    facts: list[tuple[int, Incoming]] = field(default_factory=list)
    reports: list[tuple[int, int, Report]] = field(default_factory=list)
    unreadable: list[tuple[Unreadable, str]] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=dict)


def take_apart(messages: Sequence[StreamMessage]) -> Batch:
    """The facts, reports and unreadable messages among `messages`, each with its place."""
    batch = Batch()
    for message in messages:
        batch.positions[message.partition] = message.sequence
        try:
            facts, report = read_message(message)
        except UnreadableMessage as error:
            whole = Unreadable(message.sequence, message.partition, message.tenant_id, message.payload)
            batch.unreadable.append((whole, str(error)))
            continue
        batch.facts.extend([(message.sequence, incoming) for incoming in facts])
        if report is not None:
            batch.reports.append((message.sequence, message.partition, report))
    return batch


class Processor:
    """Processes batches."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._poison = 0

    async def process(
        self, messages: Sequence[StreamMessage], epochs: dict[int, int], announced: Sequence[str] = ()
    ) -> list[Announcement]:
        """Commits what `messages` do, and answers what is to be announced of it. Repeating it changes nothing.

        What has been `announced` by id leaves the outbox in the same transaction.

        Raises OwnershipLost if a partition was taken over, and psycopg.OperationalError if the outcome is unknown: then
        the same messages are to be processed again.
        """
        batch = take_apart(messages)
        try:
            return await self._commit(batch, epochs, announced)
        except (psycopg.OperationalError, psycopg.errors.UniqueViolation):
            raise
        except POISON as error:
            logger.warning("a batch failed: %s; trying its parts one by one", error)
            await self._set_poison_apart(batch, epochs)
            return await self._commit(batch, epochs, announced)

    async def _commit(self, batch: Batch, epochs: dict[int, int], announced: Sequence[str]) -> list[Announcement]:
        now_us = self._clock.now_us()
        async with self._store.transaction() as transaction:
            positions = await transaction.lock({partition: epochs[partition] for partition in batch.positions})
            facts = [each for sequence, each in batch.facts if sequence > positions[each.partition]]
            known = await transaction.load(facts)
            effects = work_out(facts, known)
            await transaction.write(effects, known.models, now_us)
            await self._write_the_rest(transaction, batch, positions, now_us)
            announcements = announcements_of(effects, batch.positions, now_us)
            moved = {partition: max(last, positions[partition]) for partition, last in batch.positions.items()}
            await transaction.move(moved, announcements, announced)
        return announcements

    async def _write_the_rest(
        self, transaction: Transaction, batch: Batch, positions: dict[int, int], now_us: int
    ) -> None:
        reports = [each for sequence, partition, each in batch.reports if sequence > positions[partition]]
        await transaction.record(reports)
        for message, detail in batch.unreadable:
            if message.sequence > positions[message.partition]:
                self._count_poison()
                await transaction.set_apart_unreadable(
                    message.tenant_id, message.sequence, message.payload, detail, now_us
                )

    async def _set_poison_apart(self, batch: Batch, epochs: dict[int, int]) -> None:
        """Finds the facts that cannot be processed, each in a transaction that is rolled back, and sets them apart."""
        good = []
        for sequence, incoming in batch.facts:
            if (detail := await self._why_poison(incoming)) is None:
                good.append((sequence, incoming))
                continue
            self._count_poison()
            logger.error("event %s is set apart: %s", incoming.fact.event_id, detail)
            async with self._store.transaction() as transaction:
                await transaction.lock({incoming.partition: epochs[incoming.partition]})
                await transaction.set_apart(incoming, detail, self._clock.now_us())
        batch.facts = good
        for sequence, partition, report in list(batch.reports):
            if (detail := await self._why_poison_report(report)) is not None:
                batch.reports.remove((sequence, partition, report))
                payload = report.report.SerializeToString()
                batch.unreadable.append((Unreadable(sequence, partition, report.tenant_id, payload), detail))

    async def _why_poison(self, incoming: Incoming) -> str | None:
        async def attempt(transaction: Transaction) -> None:
            known = await transaction.load([incoming])
            await transaction.write(work_out([incoming], known), known.models, self._clock.now_us())

        return await self._why_not(attempt)

    async def _why_poison_report(self, report: Report) -> str | None:
        async def attempt(transaction: Transaction) -> None:
            await transaction.record([report])

        return await self._why_not(attempt)

    async def _why_not(self, attempt: Callable[[Transaction], Awaitable[None]]) -> str | None:
        """Why something cannot be written; None if it can. Writes nothing."""
        try:
            async with self._store.transaction() as transaction:
                await attempt(transaction)
                raise psycopg.Rollback
        except psycopg.OperationalError:
            raise
        except POISON as error:
            return f"{type(error).__name__}: {error}"
        return None

    def _count_poison(self) -> None:
        self._poison += 1
        if self._poison > POISON_MAX:
            raise TooMuchPoison(f"more than {POISON_MAX} facts cannot be processed; the rest stays in the stream")


def announcements_of(effects: Effects, positions: dict[int, int], now_us: int) -> list[Announcement]:
    """The changes of a batch as they go out, in order for each tenant."""
    updates: dict[str, list[score_pb2.ScoreUpdate]] = {}
    for tenant_id, change in effects.changes:
        updates.setdefault(tenant_id, []).append(to_update(change, now_us))
    # A repeat of the batch after a crash ends at the same place or not at all, so its announcements have the same ids.
    sequence, partition = max((sequence, partition) for partition, sequence in positions.items())
    return [
        Announcement(
            f"{tenant_id}/{partition}/{sequence}/{start}",
            tenant_id,
            stream_pb2.ScoreAnnouncement(updates=found[start : start + UPDATES_MAX]).SerializeToString(),
        )
        for tenant_id, found in updates.items()
        for start in range(0, len(found), UPDATES_MAX)
    ]
