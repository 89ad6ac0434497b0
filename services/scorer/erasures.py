"""What the erasure of a lead does to a batch: pure.

It takes away what came before it, in the batch and in what is stored, and leaves the rest of the batch to go on as if
the lead had never been. What is in the database is taken out when the batch is written (see erased_rows).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from services.scorer.rollups import HOUR_US
from services.scorer.scoring.evaluation import Evaluation
from services.scorer.scoring.fold import Cause, Change
from services.scorer.wire import Incoming

if TYPE_CHECKING:
    from services.scorer.effects import Before, Effects, Known, LeadKey

NO_SCORE = Evaluation(0, 0, 0, 0, "", {})


@dataclass(slots=True)
class Erasures:
    """What is to be done about the leads that a batch erases, beside the sums."""

    done: list[Incoming] = field(default_factory=list)
    # Each lead, with the last day on which its stored score changed.
    leads: dict[LeadKey, int] = field(default_factory=dict)
    # What was to be stored about these leads and now is not: its repeats are known all the same.
    dropped: list[Incoming] = field(default_factory=list)
    # The ends of the leads that others may have heard of, by tenant.
    ends: list[tuple[str, Change]] = field(default_factory=list)


def erase(incoming: Incoming, known: Known, effects: Effects, before: Before, at_us: int) -> None:
    """Erases a lead that was something `before` the batch."""
    key = tenant_id, lead_id = incoming.tenant_id, incoming.fact.lead_id
    effects.erasures.done.append(incoming)
    effects.erasures.leads.setdefault(key, before.changed_day)
    _drop(key, effects)
    _forget(key, known)
    if before.standing is None:
        return
    effects.score_counts[tenant_id, effects.shard, before.standing.score] -= 1
    effects.rollups.take_away(tenant_id, before.standing, at_us)
    for event_type, source, hour, number in known.event_counts.pop(key, ()):
        effects.rollups.take_events(tenant_id, event_type, source, hour, number)
    end = Change(
        lead_id, Cause.ERASURE, incoming.fact, before.version + 1, 0, before.standing.score,
        before.standing.grade, NO_SCORE, (), (),
    )  # fmt: skip
    effects.erasures.ends.append((tenant_id, end))


def _drop(key: LeadKey, effects: Effects) -> None:
    """Takes back what the batch has done about the lead so far."""
    effects.partitions.pop(key, None)
    if effects.foldings.pop(key, None) is not None:
        events, effects.events = effects.events, []
        for each in events:
            if (each.tenant_id, each.fact.lead_id) != key:
                effects.events.append(each)
                continue
            effects.erasures.dropped.append(each)
            if each.fact.is_event:
                hour = each.fact.occurred_us // HOUR_US
                effects.rollups.take_events(each.tenant_id, each.fact.type, each.fact.source, hour, 1)
        effects.changes = [each for each in effects.changes if (each[0], each[1].lead_id) != key]
    conflicts, effects.conflicts = effects.conflicts, []
    for conflict in conflicts:
        if (conflict.incoming.tenant_id, conflict.incoming.fact.lead_id) == key:
            effects.erasures.dropped.append(conflict.incoming)
        elif (conflict.incoming.tenant_id, conflict.standing_lead_id) == key:
            effects.conflicts.append(replace(conflict, standing_lead_id=""))
        else:
            effects.conflicts.append(conflict)


def _forget(key: LeadKey, known: Known) -> None:
    """What comes next about the lead is the first that is known of it; its event ids stand, for nobody knows whom."""
    tenant_id, lead_id = key
    known.forget_lead(key)
    for event_key, (digest, standing_lead_id) in known.standing.items():
        if standing_lead_id == lead_id and event_key[0] == tenant_id:
            known.standing[event_key] = digest, ""
