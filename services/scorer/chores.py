"""What the scorer does beside events: days that pass, and operations that score leads anew.

A chore is done in slices, each one transaction under the same locks and fences as a batch of events, and between those
of the consumer, so that the changes of a lead are announced in the order in which they were committed.
"""

import uuid
from collections.abc import Mapping

from services.scorer.announcements import Announcement, announcements_of
from services.scorer.effects import Effects, pass_time, score_anew
from services.scorer.rows import moved, written
from services.scorer.scoring.lead import Lead
from services.scorer.store import Session, Transaction, Work
from services.shared.clock import Clock

LEADS_MAX = 500
"""Leads of a slice: some tens of milliseconds, so that no event waits for long."""
EVENTS_MAX = 50_000
"""Events in the histories of a slice's leads: what is held in memory at a time."""


class Chores:
    """Does what is due in the partitions that this scorer holds."""

    def __init__(self, clock: Clock, scorer_id: str) -> None:
        self._clock = clock
        self._scorer_id = scorer_id

    async def are_due(self, transaction: Transaction, epochs: Mapping[int, int]) -> bool:
        """Whether there is something to do."""
        partitions = list(epochs)
        if await transaction.has_due(partitions, self._clock.now_us()):
            return True
        return await transaction.next_work(partitions) is not None

    async def do_some(self, session: Session, epochs: Mapping[int, int]) -> list[Announcement] | None:
        """Does a slice of what is due. Answers what is to be announced of it, or None if nothing is due.

        Raises as processing a batch does.
        """
        now_us = self._clock.now_us()
        due = await session.now.has_due(list(epochs), now_us)
        work = await session.now.next_work(list(epochs))
        if due:
            return await self._pass_time(session, epochs, now_us)
        if work is not None:
            # As of now, which is after the work was begun; the time above may be of before.
            return await self._score_anew(work, session, epochs, self._clock.now_us())
        return None

    async def _pass_time(self, session: Session, epochs: Mapping[int, int], now_us: int) -> list[Announcement]:
        effects = Effects(min(epochs))
        async with session.transaction() as transaction:
            await transaction.lock(epochs)
            for tenant_id, partition, lead in await transaction.load_due(list(epochs), now_us, LEADS_MAX):
                # By its own model: a lead goes over to another one with its next fact, or by a rescore.
                model = await transaction.model(tenant_id, lead.model_version)
                pass_time(effects, tenant_id, partition, lead, model, now_us)
            return await self._write(transaction, effects, now_us)

    async def _score_anew(
        self, work: Work, session: Session, epochs: Mapping[int, int], now_us: int
    ) -> list[Announcement]:
        effects = Effects(min(epochs))
        async with session.transaction() as transaction:
            await transaction.lock(epochs)
            places = await transaction.lock_work(work, list(epochs))
            if not places:
                return []
            found = await transaction.load_leads_after(work.tenant_id, min(places.values()), list(places), LEADS_MAX)
            leads = _within_bounds(found)
            todo = [(partition, lead) for partition, lead in leads if lead.lead_id > places[partition]]
            model = await transaction.model(work.tenant_id, work.model_version)
            ids = [lead.lead_id for _, lead in todo]
            histories = await transaction.load_histories(work.tenant_id, ids, model)
            for partition, lead in todo:
                score_anew(effects, work.tenant_id, partition, lead, histories[lead.lead_id], model, now_us)
            if leads:
                last = leads[-1][1].lead_id
                await transaction.move_work(work, list(places), last, len(todo), len(effects.changes))
            if len(leads) == len(found) < LEADS_MAX:
                await transaction.end_work(work, list(places), now_us)
            return await self._write(transaction, effects, now_us)

    async def _write(self, transaction: Transaction, effects: Effects, now_us: int) -> list[Announcement]:
        effects.sum_up(now_us)
        announcements = announcements_of(effects, f"chore/{uuid.uuid4().hex}", now_us)
        await transaction.write([*written(effects, now_us), *moved({}, self._scorer_id, announcements, ())])
        return announcements


def _within_bounds(leads: list[tuple[int, Lead]]) -> list[tuple[int, Lead]]:
    """As many of the leads, from the first on, as have so many events together; at least one."""
    events = 0
    for number, (_, lead) in enumerate(leads):
        events += lead.event_count
        if events > EVENTS_MAX and number:
            return leads[:number]
    return leads
