"""What is written to each table, as rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from services.scorer import statements
from services.scorer.announcements import Announcement
from services.scorer.batches import Unreadable
from services.scorer.binary import day, jsonb, moment
from services.scorer.effects import SLICE, Conflict, Effects, LeadKey
from services.scorer.erased_rows import CLEAR_SUMS, removals
from services.scorer.lead_state import dump_fact, dump_lead
from services.scorer.scoring.evaluation import changes_at_us
from services.scorer.scoring.fold import Change, Folding
from services.scorer.scoring.thresholds import Crossing
from services.scorer.wire import Incoming

Table = tuple[statements.Bulk, Iterable[Sequence[Any]]]
"""A statement, and its rows as they are asked for."""

REASON_CONFLICT = 1
REASON_POISON = 2
"""As in the contract's QuarantineReason."""


def written(effects: Effects, now_us: int) -> statements.Parts:
    """What the effects of a batch write. Rows of one table are in one order for all scorers: two that write the same
    ones wait for each other, never in a circle.
    """
    tables = chain(facts(effects, now_us), outcomes(effects, now_us))
    return [(part, made) for part, rows in tables if (made := list(rows))]


def in_slices(tables: Iterable[Table]) -> Iterator[statements.Part]:
    """Rows as they are made, a slice of one table at a time."""
    for part, rows in tables:
        made: list[Sequence[Any]] = []
        for row in rows:
            made.append(row)
            if len(made) == SLICE:
                yield part, made
                made = []
        if made:
            yield part, made


def facts(effects: Effects, now_us: int) -> Iterator[Table]:
    """What is written about facts and the changes that they made."""
    now = moment(now_us)
    # By one key after the other: strings by themselves are compared several times as fast as pairs of them.
    events = sorted(effects.events, key=lambda incoming: incoming.fact.event_id)
    events.sort(key=lambda incoming: incoming.tenant_id)
    yield statements.EVENTS, (event_row(incoming) for incoming in events)
    yield statements.LEDGER, (ledger_row(tenant_id, change, now) for tenant_id, change in effects.changes)


def outcomes(effects: Effects, now_us: int) -> Iterator[Table]:
    """What is written when all facts of a batch are worked out: what has become of leads, and sums."""
    now = moment(now_us)
    yield from removals(effects.erasures, now_us)
    leads = sorted(effects.foldings.items(), key=lambda item: item[0][1])
    leads.sort(key=lambda item: item[0][0])
    yield statements.LEADS, (lead_row(key, effects.partitions[key], folding, now) for key, folding in leads)
    yield from sums(effects)
    yield statements.INSERT_QUARANTINE, [conflict_row(conflict, now) for conflict in effects.conflicts]
    tallies = sorted(effects.tallies.items())
    counts = [(*key, tally.accepted, tally.duplicates, tally.conflicts) for key, tally in tallies]
    yield statements.ADD_IMPORT_COUNTS, counts


def moved(
    positions: Mapping[int, int], scorer_id: str, announcements: Iterable[Announcement], announced: Iterable[str]
) -> statements.Parts:
    """What moves the positions, and with them what is to be announced in, and what has been announced out."""
    outbox = [
        (each.announcement_id, scorer_id, each.tenant_id, number, each.payload)
        for number, each in enumerate(announcements)
    ]
    parts = (
        (statements.INSERT_OUTBOX, outbox),
        (statements.DELETE_OUTBOX, [(each,) for each in announced]),
        (statements.MOVE_PARTITIONS, sorted(positions.items())),
    )
    return [(part, rows) for part, rows in parts if rows]


def event_row(incoming: Incoming) -> tuple[Any, ...]:
    """A fact."""
    fact = incoming.fact
    properties = jsonb(fact.properties) if fact.properties is not None else None
    return (
        incoming.tenant_id, fact.event_id, fact.lead_id, fact.type, moment(fact.occurred_us),
        moment(incoming.received_us), fact.source, properties, incoming.digest,
    )  # fmt: skip


def ledger_row(tenant_id: str, change: Change, now: int) -> tuple[Any, ...]:
    """A change of a score."""
    fact, score = change.fact, change.after.score
    event_id, event_type, occurred_at = "", "", None
    if fact is not None:
        event_id, occurred_at = fact.event_id, moment(fact.occurred_us)
        event_type = fact.type if fact.is_event else ""
    return (
        tenant_id, change.lead_id, change.version, score - change.score_before, change.score_before, score,
        int(change.cause), event_id, event_type, occurred_at, now, change.model_version, contributions_of(change),
        jsonb(crossings_of(change.crossings)) if change.crossings else None,
    )  # fmt: skip


def contributions_of(change: Change) -> bytes:
    """What the lines gave to a change, as it is stored."""
    return _contributions(tuple([(each.rule, each.count, each.points) for each in change.contributions]))


@lru_cache(maxsize=10_000)
def _contributions(lines: tuple[tuple[str, int, float], ...]) -> bytes:
    """Most changes are like others: the same rule for the same points."""
    return jsonb([{"rule": rule, "count": count, "points": points} for rule, count, points in lines])


def crossings_of(crossings: Iterable[Crossing]) -> list[dict[str, str]]:
    """Crossings as they are stored."""
    return [{"threshold": each.threshold, "before": each.before, "after": each.after} for each in crossings]


def lead_row(key: LeadKey, partition: int, folding: Folding, now: int) -> tuple[Any, ...]:
    """A lead after a batch."""
    lead = folding.lead
    due_us = changes_at_us(folding.model, lead, lead.evaluated_us)
    return (
        *key, partition, lead.score, lead.machine_score, lead.engagement, lead.fit, lead.grade, lead.version,
        lead.event_count, _moment(lead.first_event_us), _moment(lead.last_event_us), jsonb(lead.profile), lead.status,
        lead.owner, lead.source, lead.model_version, _moment(due_us), now, dump_lead(lead),
    )  # fmt: skip


def sums(effects: Effects) -> Iterable[tuple[statements.Bulk, list[tuple[Any, ...]]]]:
    """What a batch changes in the sums over leads: statements, each with its rows, in one order for all scorers."""
    yield statements.ADD_SCORE_COUNTS, [(*key, leads) for key, leads in sorted(effects.score_counts.items()) if leads]
    rollups = [
        (tenant_id, kind, moment(at_us), name, shard, count, total)
        for (tenant_id, kind, at_us, name, shard), count, total in effects.rollups.rows()
    ]
    yield statements.ADD_ROLLUPS, rollups
    if effects.erasures.done:
        yield CLEAR_SUMS, sorted({row[:4] for row in rollups})
    days = [(tenant_id, day(changed_day), *rest) for tenant_id, changed_day, *rest in sorted(effects.score_days)]
    yield statements.ADD_SCORE_DAYS, days
    yield statements.DELETE_NAMES, sorted(effects.names_lost)
    yield statements.ADD_NAMES, sorted(effects.names_gained)


def conflict_row(conflict: Conflict, now: int) -> tuple[Any, ...]:
    """A fact whose id was taken."""
    incoming, fact = conflict.incoming, conflict.incoming.fact
    detail = "the event id was taken by an event with other content"
    properties = jsonb(fact.properties) if fact.properties is not None else None
    return (
        incoming.tenant_id, fact.event_id, incoming.digest, fact.lead_id, REASON_CONFLICT, detail,
        conflict.standing_lead_id, fact.type, moment(fact.occurred_us), moment(incoming.received_us),
        fact.source, properties, None, now,
    )  # fmt: skip


def poison_row(incoming: Incoming, detail: str, now: int) -> tuple[Any, ...]:
    """A fact that cannot be processed: readable as far as the database can hold it; the payload has it as it came."""
    fact = incoming.fact
    event_id, lead_id, event_type, source = map(storable, (fact.event_id, fact.lead_id, fact.type, fact.source))
    return (
        incoming.tenant_id, event_id, incoming.digest, lead_id, REASON_POISON, storable(detail), "", event_type,
        None, now, source, None, dump_fact(fact), now,
    )  # fmt: skip


def unreadable_row(message: Unreadable, now: int) -> tuple[Any, ...]:
    """A message that cannot be read, as it came."""
    return (
        message.tenant_id, f"message {message.sequence}", b"", "", REASON_POISON, storable(message.detail), "", "",
        None, now, "", None, message.payload, now,
    )  # fmt: skip


def storable(text: str) -> str:
    """A text without what PostgreSQL cannot hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _moment(time_us: int | None) -> int | None:
    return None if time_us is None else moment(time_us)
