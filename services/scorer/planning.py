"""What a batch will do, worked out before its turn to be committed has come.

While the database is busy with one batch, the next one is worked out on what that one will leave behind: its leads are
in the cache, its event ids in the plans under way. Plans are committed in the order in which they were made; if one
fails, it and all after it are thrown away, the cache with them, and everything is taken up again from the committed
positions.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from services.scorer import cache
from services.scorer.announcements import Announcement, announcing
from services.scorer.batches import Batch
from services.scorer.effects import SLICE, Content, Effects, EventKey, Known, LeadKey, working_out
from services.scorer.gathered import Gathered, Parts
from services.scorer.optimism import Optimism
from services.scorer.rows import Table, facts, in_slices, outcomes
from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.lead import Lead
from services.scorer.store import Superseded, Transaction
from services.shared.bus import StreamMessage
from services.shared.clock import Clock


@dataclass(frozen=True, slots=True)
class Plan:
    """What messages will do, if the partitions are where they begin and the tenants' models those it was made by. They
    are kept for the case that something in them cannot be processed.
    """

    messages: Sequence[StreamMessage]
    batch: Batch
    before: Mapping[int, int]
    models: Mapping[str, int]
    written: Parts
    announcements: list[Announcement]
    standing: Mapping[EventKey, Content]
    set_apart: Set[tuple[EventKey, bytes]]
    # The events among those standing that were not looked up.
    taken_for_new: Sequence[EventKey]
    now_us: int


@dataclass(slots=True)
class Draft:
    """A plan while messages are added to it."""

    optimistic: bool
    known: Known
    effects: Effects
    gathered: Gathered
    under_way: Sequence[Plan]
    now_us: int
    announcements: list[Announcement] = field(default_factory=list)
    messages: list[StreamMessage] = field(default_factory=list)
    batch: Batch = field(default_factory=Batch)


async def _let_others_work() -> None:
    """The commit of the batch before takes its next step: it talks with the database many times, and would otherwise
    wait each time until this batch is worked out.
    """
    await asyncio.sleep(0)


async def _gather(tables: Iterable[Table], gathered: Gathered) -> None:
    for part, rows in in_slices(tables):
        gathered.add(part, rows)
        if len(rows) == SLICE:
            await _let_others_work()


class Planner:
    """Makes plans, one after the other, for the partitions held, from their committed positions on."""

    def __init__(
        self, clock: Clock, positions: Mapping[int, int], shard: int, optimism: Optimism | None = None
    ) -> None:
        """Sums are added to the rows of `shard`, one of the partitions held. Without `optimism`, all is looked up."""
        self._clock = clock
        self._optimism = optimism
        self._shard = shard
        self._positions = dict(positions)
        self._models: dict[str, CompiledModel] = {}  # If another one is published, the next commit fails.
        self._leads: dict[LeadKey, Lead] = {}  # See cache.
        self._under_way: list[Plan] = []

    async def plan(self, batch: Batch, reads: Transaction) -> Plan:
        """What a batch will do, after all plans made before it."""
        draft = self.begin(reads, erases=batch.erases)
        await self.add(draft, batch, reads)
        return await self.complete(draft)

    def begin(self, reads: Transaction, *, erases: bool = False) -> Draft:
        """A plan that comes after all made before it, and does nothing yet; `erases` says whether it will erase a lead:
        that needs to know what is stored, whatever comes with it.
        """
        under_way = list(self._under_way)  # Before any read: what is committed from here on may not be seen by it.
        known = Known(cached=self._leads, under_way=[plan.standing for plan in under_way])
        for plan in under_way:
            known.set_apart |= plan.set_apart
        return Draft(
            optimistic=self._optimism is not None and self._optimism.justified and not erases,
            known=known,
            effects=Effects(self._shard),
            gathered=reads.gathering(),
            under_way=under_way,
            now_us=self._clock.now_us(),
        )

    async def add(self, draft: Draft, batch: Batch, reads: Transaction) -> None:
        """Adds what a batch will do. What is written about its facts is made at once, so that they need not be kept."""
        known, effects, now_us = draft.known, draft.effects, draft.now_us
        await reads.load(batch.facts, known, effects.foldings, self._models, new=draft.optimistic)
        self._models |= known.models
        if batch.erases:
            known.event_counts = await reads.count_events(batch.facts)
        if known.histories and draft.under_way:
            raise Superseded("another model was published")  # Histories are whole only when everything is committed.
        for _ in working_out(batch.facts, known, now_us, effects):
            await _let_others_work()
        await _gather(facts(effects, now_us), draft.gathered)
        for _ in announcing(effects, batch.name, now_us, draft.announcements):
            await _let_others_work()
        effects.events.clear()
        effects.changes.clear()
        known.leads.clear()
        known.histories.clear()
        draft.batch.add(batch)

    async def complete(self, draft: Draft) -> Plan:
        """The plan, with what comes of all facts together."""
        known, effects, batch = draft.known, draft.effects, draft.batch
        for _ in effects.summing_up(draft.now_us):
            await _let_others_work()
        cache.remember(self._leads, effects)
        await _gather(outcomes(effects, draft.now_us), draft.gathered)
        plan = Plan(
            messages=draft.messages,
            batch=batch,
            before={partition: self._positions[partition] for partition in batch.positions},
            models={tenant_id: model.version for tenant_id, model in known.models.items()},
            written=draft.gathered.parts,
            announcements=draft.announcements,
            standing=known.standing,
            set_apart=known.set_apart,
            taken_for_new=list(known.standing) if draft.optimistic else (),
            now_us=draft.now_us,
        )
        self._positions |= batch.positions
        self._under_way.append(plan)
        return plan

    @property
    def positions(self) -> dict[int, int]:
        """Where the partitions are, when all plans made are committed."""
        return dict(self._positions)

    def committed(self, plan: Plan) -> None:
        """What a plan does can be read from the database now."""
        self._under_way.remove(plan)

    def forget_leads(self) -> None:
        """Others have changed leads."""
        self._leads.clear()
