"""What a batch of facts does: pure, from what was stored before to what is to be stored after.

Here it is decided what counts: a fact whose id is new counts; the same id with the same content is a duplicate; the
same id with other content is a conflict, which is set apart the first time and a duplicate of that from then on.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.scorer.erasures import Erasures, erase
from services.scorer.rollups import Rollups, Standing, names_of, standing_of
from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.fold import Change, Folding
from services.scorer.scoring.lead import ERASURE, Lead
from services.scorer.scoring.replay import History, rescore
from services.scorer.wire import Incoming

SLICE = 100
"""Facts, leads or rows that are worked out in one go: a millisecond, so that a commit under way is not held up."""

EventKey = tuple[str, str]
LeadKey = tuple[str, str]
Content = tuple[bytes, str]
"""The digest of an event, and its lead."""
EventCount = tuple[str, str, int, int]
"""A type, a source and an hour (since 1970), and how many events a lead had of these."""


@dataclass(slots=True)
class Known:
    """What was stored before the batch, as far as the batch touches it."""

    models: dict[str, CompiledModel] = field(default_factory=dict)
    # The content that stands under an event's id, and its lead; none if that was erased. What is new is added.
    standing: dict[EventKey, Content] = field(default_factory=dict)
    # The same of batches that are not committed yet.
    under_way: Sequence[Mapping[EventKey, Content]] = ()
    # Contents that are set apart already.
    set_apart: set[tuple[EventKey, bytes]] = field(default_factory=set)
    leads: dict[LeadKey, Lead] = field(default_factory=dict)
    # More of them, which need not have to do with the batch: those that are kept in memory.
    cached: dict[LeadKey, Lead] = field(default_factory=dict)
    # All that is stored of the leads that were scored by another model than today's.
    histories: dict[LeadKey, History] = field(default_factory=dict)
    # The stored events of the leads that are to be erased.
    event_counts: dict[LeadKey, list[EventCount]] = field(default_factory=dict)

    def content(self, key: EventKey) -> Content | None:
        """What stands under an event's id."""
        found = self.standing.get(key)
        for contents in self.under_way:
            found = found or contents.get(key)
        return found

    def lead(self, key: LeadKey) -> Lead | None:
        """What was stored of a lead."""
        return self.cached.get(key) or self.leads.get(key)

    def forget_lead(self, key: LeadKey) -> None:
        """What comes next about the lead is the first that is known of it."""
        self.cached.pop(key, None)
        self.leads.pop(key, None)


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


@dataclass(slots=True, init=False)
class Before:
    """What a lead was before the batch, as far as sums depend on it."""

    standing: Standing | None
    version: int
    changed_day: int
    profile: Mapping[str, Any] | None

    def __init__(
        self, standing: Standing | None, version: int, changed_day: int, profile: Mapping[str, Any] | None
    ) -> None:
        self.standing = standing
        self.version = version
        self.changed_day = changed_day
        self.profile = profile


NOTHING = Before(None, 0, 0, None)


def before_of(lead: Lead) -> Before:
    """What a stored lead is, before anything is folded into it."""
    return Before(standing_of(lead), lead.version, lead.changed_day, lead.profile)


@dataclass(slots=True)
class Effects:
    """What is to be stored, all or nothing. Sums are added to the rows of `shard`, which no other scorer adds to."""

    shard: int
    events: list[Incoming] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    changes: list[tuple[str, Change]] = field(default_factory=list)
    foldings: dict[LeadKey, Folding] = field(default_factory=dict)
    partitions: dict[LeadKey, int] = field(default_factory=dict)
    befores: dict[LeadKey, Before] = field(default_factory=dict)
    # By tenant, shard and score: by how much the number of leads with it changes.
    score_counts: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    rollups: Rollups = field(init=False)
    # Tenant, day, lead and the score before the first change of the day.
    score_days: list[tuple[str, int, str, int]] = field(default_factory=list)
    # Tenant, name and lead.
    names_gained: list[tuple[str, str, str]] = field(default_factory=list)
    names_lost: list[tuple[str, str, str]] = field(default_factory=list)
    tallies: dict[tuple[str, str, int], Tally] = field(default_factory=dict)
    # What became of the facts that came with no import; nobody asks.
    no_import: Tally = field(default_factory=Tally)
    erasures: Erasures = field(default_factory=Erasures)

    def __post_init__(self) -> None:
        self.rollups = Rollups(self.shard)

    def take(self, key: LeadKey, partition: int, folding: Folding, before: Before, change: Change | None) -> None:
        """Takes in a lead that facts will be folded into, with what it was before and what was changed already."""
        self.foldings[key] = folding
        self.partitions[key] = partition
        self.befores[key] = before
        if change:
            self.changes.append((key[0], change))

    def sum_up(self, at_us: int) -> None:
        """Works out, when all is folded, what changes in the sums over leads."""
        for _ in self.summing_up(at_us):
            pass

    def summing_up(self, at_us: int) -> Iterator[None]:
        """The same, slice by slice."""
        for number, (key, folding) in enumerate(self.foldings.items(), start=1):
            self._sum_up(key, folding.lead, self.befores[key], at_us)
            if not number % SLICE:
                yield

    def _sum_up(self, key: LeadKey, lead: Lead, before: Before, at_us: int) -> None:
        tenant_id = key[0]
        was, after = before.standing, standing_of(lead)
        if was is None or was.score != after.score:
            if was is not None:
                self.score_counts[tenant_id, self.shard, was.score] -= 1
            self.score_counts[tenant_id, self.shard, after.score] += 1
        if lead.version != before.version and lead.changed_day != before.changed_day:
            self.score_days.append((tenant_id, lead.changed_day, lead.lead_id, was.score if was else 0))
        self.rollups.move(tenant_id, was, after, at_us)
        if before.profile is not lead.profile:
            names_before = frozenset() if before.profile is None else names_of(lead.lead_id, before.profile)
            names = names_of(lead.lead_id, lead.profile)
            self.names_gained += [(tenant_id, name, lead.lead_id) for name in names - names_before]
            self.names_lost += [(tenant_id, name, lead.lead_id) for name in names_before - names]


def work_out(batch: Iterable[Incoming], known: Known, at_us: int, shard: int) -> Effects:
    """The effects of facts in the order of the stream, at a time. Changes the leads in `known`."""
    effects = Effects(shard)
    for _ in working_out(batch, known, at_us, effects):
        pass
    effects.sum_up(at_us)
    return effects


def working_out(batch: Iterable[Incoming], known: Known, at_us: int, effects: Effects) -> Iterator[None]:
    """The same without the sums, slice by slice: `effects` have them all at the end, and nobody may look before."""
    for number, incoming in enumerate(batch, start=1):
        if not number % SLICE:
            yield
        tally = _tally(effects, incoming)
        if not _is_new(incoming, known, effects, tally):
            continue
        fact = incoming.fact
        key = incoming.tenant_id, fact.lead_id
        if fact.is_event:
            effects.rollups.add_event(incoming.tenant_id, fact)
        elif fact.type == ERASURE:
            erase(incoming, known, effects, _before(key, known, effects), at_us)
            continue
        effects.events.append(incoming)
        folding = effects.foldings.get(key) or _open(key, incoming.partition, known, effects, at_us)
        if change := folding.apply(fact):
            effects.changes.append((incoming.tenant_id, change))


def _open(key: LeadKey, partition: int, known: Known, effects: Effects, at_us: int) -> Folding:
    """A lead, brought to today's model and to the time."""
    model, stored = known.models[key[0]], known.lead(key)
    if stored is None:
        folding = Folding(model, Lead(key[1]), at_us)
        effects.take(key, partition, folding, NOTHING, None)
    elif stored.model_version == model.version:
        before = before_of(stored)
        folding = Folding(model, stored, at_us)
        effects.take(key, partition, folding, before, folding.pass_time())
    else:
        folding, change = rescore(model, stored, known.histories[key], at_us)
        effects.take(key, partition, folding, before_of(stored), change)
    return folding


def _before(key: LeadKey, known: Known, effects: Effects) -> Before:
    """What a lead that is erased was before the batch."""
    if before := effects.befores.pop(key, None):
        return before
    stored = known.lead(key)
    return NOTHING if stored is None else before_of(stored)


def pass_time(effects: Effects, tenant_id: str, partition: int, lead: Lead, model: CompiledModel, at_us: int) -> None:
    """Adds what time alone has done to a lead, by the model that it was scored by."""
    before, folding = before_of(lead), Folding(model, lead, at_us)
    effects.take((tenant_id, lead.lead_id), partition, folding, before, folding.pass_time())


def score_anew(
    effects: Effects, tenant_id: str, partition: int, lead: Lead, history: History, model: CompiledModel, at_us: int
) -> None:
    """Adds what scoring a lead from its whole history does to it."""
    folding, change = rescore(model, lead, history, at_us)
    effects.take((tenant_id, lead.lead_id), partition, folding, before_of(lead), change)


def _is_new(incoming: Incoming, known: Known, effects: Effects, tally: Tally) -> bool:
    key = incoming.tenant_id, incoming.fact.event_id
    standing = known.content(key)
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
        return effects.no_import
    return effects.tallies.setdefault((incoming.tenant_id, incoming.import_id, incoming.partition), Tally())
