"""A lead, or a fact, between the core's values and the bytes stored of it (MessagePack, a list: names would be most of
it).
"""

from typing import Any

import msgspec

from services.scorer.scoring.lead import NOTHING_SAID, Fact, Lead, Override, StatusChange

FORMAT = 1
"""The first item. Another layout gets another number, so that no scorer misreads what another one wrote."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def dump_lead(lead: Lead) -> bytes:
    """A lead as it is stored."""
    override = lead.override
    return _encode((
        FORMAT, lead.lead_id, lead.model_version, lead.tallies, lead.profile, lead.profile_since,
        [(each.occurred_us, each.event_id, each.status) for each in lead.statuses], lead.owner,
        None if override is None else (override.score, override.reason, override.until_us, override.actor),
        lead.since, lead.event_count, lead.first_event_us, lead.last_event_us, lead.known_since_us, lead.source,
        lead.source_since, lead.first_day, _days(lead.days), lead.changed_day, lead.version, lead.score,
        lead.machine_score, lead.engagement, lead.fit, lead.grade, lead.lines, lead.evaluated_us, lead.letter,
        lead.digit, lead.above,
    ))  # fmt: skip


def load_lead(stored: bytes) -> Lead:
    """A lead as it was stored."""
    (
        layout, lead_id, model_version, tallies, profile, profile_since, statuses, owner, override, since, event_count,
        first_event_us, last_event_us, known_since_us, source, source_since, first_day, days, changed_day, version,
        score, machine_score, engagement, fit, grade, lines, evaluated_us, letter, digit, above,
    ) = _decode(stored)  # fmt: skip
    assert layout == FORMAT, f"the state of lead {lead_id!r} has format {layout}"
    return Lead(
        lead_id, model_version, tallies, profile or NOTHING_SAID, _sinces(profile_since),
        tuple([StatusChange(*each) for each in statuses]), owner, None if override is None else Override(*override),
        _sinces(since), event_count, first_event_us, last_event_us, known_since_us, source,
        tuple(source_since) if source_since else None, first_day, int.from_bytes(days, "little"), changed_day, version,
        score, machine_score, engagement, fit, grade, lines, evaluated_us, letter, digit, tuple(above),
    )  # fmt: skip


def dump_fact(fact: Fact) -> bytes:
    """A fact as it is set apart where it could not be processed."""
    return _encode((fact.event_id, fact.lead_id, fact.type, fact.occurred_us, fact.properties, fact.source))


def load_fact(stored: bytes) -> Fact:
    """A fact as it was set apart."""
    return Fact(*_decode(stored))


def _days(days: int) -> bytes:
    return days.to_bytes((days.bit_length() + 7) // 8, "little")


def _sinces(stored: dict[str, Any]) -> dict[str, tuple[int, str]]:
    return {key: (at_us, event_id) for key, (at_us, event_id) in stored.items()} if stored else NOTHING_SAID
