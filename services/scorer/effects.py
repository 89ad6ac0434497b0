"""What a batch of facts does: pure, from what was stored before to what is to be stored after.

Here it is decided what counts: a fact whose id is new counts; the same id with the same content is a duplicate; the
same id with other content is a conflict, which is set apart the first time and a duplicate of that from then on.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.scorer.scoring.fold import Change, Folding
from services.scorer.scoring.lead import Lead
from services.scorer.scoring.model import Model
from services.scorer.wire import Incoming

EventKey = tuple[str, str]
LeadKey = tuple[str, str]


@dataclass(slots=True)
class Known:
    """What was stored before the batch, as far as the batch touches it."""

    models: Mapping[str, Model] = field(default_factory=dict)
    # The content that stands under an event's id, and its lead.
    standing: dict[EventKey, tuple[bytes, str]] = field(default_factory=dict)
    # Contents that are set apart already.
    set_apart: set[tuple[EventKey, bytes]] = field(default_factory=set)
    leads: dict[LeadKey, Lead] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """What became of the facts of an import."""

    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class Conflict:
    """A fact whose id was taken by another content."""

    incoming: Incoming
    standing_lead_id: str


@dataclass(slots=True)
class Effects:
    """What is to be stored, all or nothing."""

    events: list[Incoming] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    changes: list[tuple[str, Change]] = field(default_factory=list)
    foldings: dict[LeadKey, Folding] = field(default_factory=dict)
    partitions: dict[LeadKey, int] = field(default_factory=dict)
    # By tenant, partition and score: by how much the number of leads with it changes.
    score_counts: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    tallies: dict[tuple[str, str, int], Tally] = field(default_factory=dict)


def work_out(batch: Iterable[Incoming], known: Known) -> Effects:
    """The effects of facts in the order of the stream. Changes the leads in `known`."""
    effects = Effects()
    scores_before: dict[LeadKey, int | None] = {}
    for incoming in batch:
        tally = _tally(effects, incoming)
        if not _is_new(incoming, known, effects, tally):
            continue
        effects.events.append(incoming)
        key = incoming.tenant_id, incoming.fact.lead_id
        folding = effects.foldings.get(key)
        if folding is None:
            stored = known.leads.get(key)
            scores_before[key] = stored.score if stored else None
            folding = Folding(known.models[incoming.tenant_id], stored or Lead(incoming.fact.lead_id))
            effects.foldings[key] = folding
            effects.partitions[key] = incoming.partition
        if change := folding.apply(incoming.fact):
            effects.changes.append((incoming.tenant_id, change))
    _count_scores(effects, scores_before)
    return effects


def _is_new(incoming: Incoming, known: Known, effects: Effects, tally: Tally) -> bool:
    key = incoming.tenant_id, incoming.fact.event_id
    standing = known.standing.get(key)
    if standing is None:
        known.standing[key] = incoming.digest, incoming.fact.lead_id
        tally.accepted += 1
        return True
    digest, lead_id = standing
    if digest == incoming.digest or (key, incoming.digest) in known.set_apart:
        tally.duplicates += 1
    else:
        known.set_apart.add((key, incoming.digest))
        effects.conflicts.append(Conflict(incoming, lead_id))
        tally.conflicts += 1
    return False


def _tally(effects: Effects, incoming: Incoming) -> Tally:
    if not incoming.import_id:
        return Tally()
    return effects.tallies.setdefault((incoming.tenant_id, incoming.import_id, incoming.partition), Tally())


def _count_scores(effects: Effects, scores_before: Mapping[LeadKey, int | None]) -> None:
    for key, folding in effects.foldings.items():
        tenant_id, partition = key[0], effects.partitions[key]
        before, after = scores_before[key], folding.lead.score
        if before == after:
            continue
        if before is not None:
            effects.score_counts[tenant_id, partition, before] -= 1
        effects.score_counts[tenant_id, partition, after] += 1
