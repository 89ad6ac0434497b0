"""A lead from nothing: its whole history through one model, evaluated once at the end."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.scorer.scoring.absorb import absorb_days, absorb_event, absorb_fact, note_source
from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.fold import Change, Folding
from services.scorer.scoring.lead import Fact, Lead


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many events of a type a lead had on a day (in days since 1970), and when the first and last of them were."""

    event_type: str
    day: int
    number: int
    first_us: int
    last_us: int


@dataclass(slots=True)
class History:
    """All that is stored of a lead: counts where no rule needs to know more, and facts for the rest."""

    days: list[DayCount] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    earliest: Fact | None = None
    """The earliest event, which may be among those that are only counted."""


def replay(model: CompiledModel, lead_id: str, history: History) -> Lead:
    """The lead that a history makes, not yet scored."""
    lead = Lead(lead_id)
    for each in history.days:
        absorb_days(model, lead, each.event_type, each.day, each.number, (each.first_us, each.last_us))
    _absorb(model, lead, history.facts)
    if (earliest := history.earliest) is not None:
        note_source(lead, earliest.occurred_us, earliest.event_id, earliest.source)
    return lead


def rescore(model: CompiledModel, stored: Lead, history: History, at_us: int) -> tuple[Folding, Change | None]:
    """A stored lead by another model, or by the same from nothing, and what that changes."""
    folding = Folding(model, replay(model, stored.lead_id, history), max(at_us, stored.evaluated_us))
    return folding, folding.take_over(stored)


def _absorb(model: CompiledModel, lead: Lead, facts: Iterable[Fact]) -> None:
    for fact in facts:
        if fact.is_event:
            absorb_event(model, lead, fact)
        else:
            absorb_fact(lead, fact)
