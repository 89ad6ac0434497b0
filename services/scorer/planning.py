"""What a batch will do, worked out before its turn to be committed has come.

While the database is busy with one batch, the next one is worked out on what that one will leave behind: its leads are
in the cache, its event ids in the plans under way. Plans are committed in the order in which they were made; if one
fails, it and all after it are thrown away, the cache with them, and everything is taken up again from the committed
positions.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.scorer import cache, statements
from services.scorer.announcements import Announcement, announcing
from services.scorer.batches import Batch
from services.scorer.effects import Effects, EventKey, LeadKey, working_out
from services.scorer.optimism import Optimism
from services.scorer.rows import writing
from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.lead import Lead
from services.scorer.store import Superseded, Transaction
from services.shared.clock import Clock


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch will do, if the partitions are where it begins and the tenants' models are those it was made by."""

    batch: Batch
    before: Mapping[int, int]
    models: Mapping[str, int]
    written: statements.Parts
    announcements: list[Announcement]
    standing: Mapping[EventKey, tuple[bytes, str]]
    set_apart: frozenset[tuple[EventKey, bytes]]
    # The events among those standing that were not looked up.
    taken_for_new: Sequence[EventKey]
    now_us: int


async def _let_others_work() -> None:
    """The commit of the batch before takes its next step: it talks with the database many times, and would otherwise
    wait each time until this batch is worked out.
    """
    await asyncio.sleep(0)


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
        under_way = list(self._under_way)  # Before the read: what is committed from here on may not be seen by it.
        # An erasure needs to know what is stored, whatever comes with it.
        optimistic = self._optimism is not None and self._optimism.justified and not batch.erases
        known = await reads.load(batch.facts, self._leads, self._models, new=optimistic)
        self._models |= known.models
        if batch.erases:
            known.event_counts = await reads.count_events(batch.facts)
        if known.histories and under_way:
            raise Superseded("another model was published")  # Histories are whole only when everything is committed.
        for plan in under_way:
            known.standing.update(plan.standing)
            known.set_apart |= plan.set_apart
        now_us = self._clock.now_us()
        effects = Effects(self._shard)
        for _ in working_out(batch.facts, known, now_us, effects):
            await _let_others_work()
        cache.remember(self._leads, effects)
        parts: list[statements.Part] = []
        for _ in writing(effects, now_us, parts):
            await _let_others_work()
        announcements: list[Announcement] = []
        for _ in announcing(effects, batch.name, now_us, announcements):
            await _let_others_work()
        standing = effects.now_standing()
        plan = Plan(
            batch=batch,
            before=self.positions_of(batch),
            models={tenant_id: model.version for tenant_id, model in known.models.items()},
            written=parts,
            announcements=announcements,
            standing=standing,
            set_apart=frozenset(
                ((each.incoming.tenant_id, each.incoming.fact.event_id), each.incoming.digest)
                for each in effects.conflicts
            ),
            taken_for_new=list(standing) if optimistic else (),
            now_us=now_us,
        )
        self._positions |= batch.positions
        self._under_way.append(plan)
        return plan

    def positions_of(self, batch: Batch) -> dict[int, int]:
        """Where the partitions of a batch are, when all plans made are committed."""
        return {partition: self._positions[partition] for partition in batch.positions}

    def committed(self, plan: Plan) -> None:
        """What a plan does can be read from the database now."""
        self._under_way.remove(plan)

    def forget_leads(self) -> None:
        """Others have changed leads."""
        self._leads.clear()
