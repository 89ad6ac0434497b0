"""The whole histories of leads, from their stored events: counted by the database where no rule needs to know more."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg

from services.scorer import statements
from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.lead import Fact
from services.scorer.scoring.replay import DayCount, History
from services.shared.clock import to_datetime, to_us

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)


async def load_histories(
    connection: Connection,
    tenant_id: str,
    lead_ids: Sequence[str],
    model: CompiledModel,
    until_us: int | None = None,
) -> dict[str, History]:
    """The histories of leads, for a model to be applied to; only what had happened by `until_us`, if given."""
    histories = {lead_id: History() for lead_id in lead_ids}
    until = FOR_EVER if until_us is None else to_datetime(until_us)
    needing = model.types_needing_the_event
    scope = [tenant_id, list(lead_ids), until, sorted(needing or ()), needing is None]
    async with connection.pipeline():
        days = await connection.execute(statements.LOAD_DAYS, scope, binary=True)
        facts = await connection.execute(statements.LOAD_FACTS, scope, binary=True)
        earliest = await connection.execute(statements.LOAD_EARLIEST, [list(lead_ids), tenant_id, until], binary=True)
    for lead_id, event_type, day, number, first, last in await days.fetchall():
        histories[lead_id].days.append(DayCount(event_type, day, number, to_us(first), to_us(last)))
    for lead_id, event_id, event_type, occurred_at, source, properties in await facts.fetchall():
        fact = Fact(event_id, lead_id, event_type, to_us(occurred_at), properties, source)
        histories[lead_id].facts.append(fact)
    for lead_id, event_id, event_type, occurred_at, source in await earliest.fetchall():
        histories[lead_id].earliest = Fact(event_id, lead_id, event_type, to_us(occurred_at), None, source)
    return histories
