"""One fact into a lead's counts, profile and registers. Each fact comes here once; in which order does not matter."""

from bisect import insort
from collections.abc import Mapping
from typing import Any

from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.lead import (
    DAY_US,
    OVERRIDE,
    OWNER,
    PROFILE,
    STATUS,
    STATUSES_MAX,
    Fact,
    Lead,
    Override,
    StatusChange,
)
from services.scorer.scoring.model import Rule
from services.scorer.scoring.tally import add, key_of

NO_RULES: tuple[Rule, ...] = ()


def absorb_event(model: CompiledModel, lead: Lead, fact: Fact) -> tuple[Rule, ...]:
    """Counts an event. Answers the rules whose tallies it changed."""
    day = fact.occurred_us // DAY_US
    _note_times(lead, 1, fact.occurred_us, fact.occurred_us)
    _note_day(lead, day)
    note_source(lead, fact.occurred_us, fact.event_id, fact.source)
    rules = model.rules_for(fact.type)
    if not rules:
        return NO_RULES
    counted = tuple([rule for rule in rules if not rule.condition or model.fulfils(rule, fact)])
    for rule in counted:
        key = key_of(value_at(fact, rule.per)) if rule.per else 0
        lead.tallies[rule.name] = add(rule, lead.tallies.get(rule.name), day, key)
    return counted


def absorb_days(
    model: CompiledModel, lead: Lead, event_type: str, day: int, number: int, times_us: tuple[int, int]
) -> None:
    """Counts events of one type and one day, of which no rule needs to know more; `times_us` of the first and last."""
    _note_times(lead, number, *times_us)
    _note_day(lead, day)
    for rule in model.rules_for(event_type):
        lead.tallies[rule.name] = add(rule, lead.tallies.get(rule.name), day, 0, number)


def absorb_fact(lead: Lead, fact: Fact) -> None:
    """Takes in a fact that is no event. Of two that say something about the same, the later one holds."""
    said = fact.properties or {}
    _note_known(lead, fact.occurred_us)
    if fact.type == PROFILE:
        _set_profile(lead, fact, said)
    elif fact.type == STATUS:
        statuses = list(lead.statuses)
        insort(statuses, StatusChange(fact.occurred_us, fact.event_id, said["status"]))
        lead.statuses = tuple(statuses[-STATUSES_MAX:])
    elif fact.type in (OWNER, OVERRIDE) and _is_later(lead, fact):
        if fact.type == OWNER:
            lead.owner = said["owner"]
        else:
            lead.override = _override(said)


def note_source(lead: Lead, occurred_us: int, event_id: str, source: str) -> None:
    """The source of a lead is that of its earliest event."""
    since = occurred_us, event_id
    if lead.source_since is None or since < lead.source_since:
        lead.source_since, lead.source = since, source


def value_at(fact: Fact, path: str) -> Any:
    """What a path ("source", "properties.key.key") leads to in an event; None if to nothing."""
    if path == "source":
        return fact.source or None
    value: Any = fact.properties
    for key in path.split(".")[1:]:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _note_times(lead: Lead, number: int, first_us: int, last_us: int) -> None:
    lead.event_count += number
    _note_known(lead, first_us)
    if lead.first_event_us is None or first_us < lead.first_event_us:
        lead.first_event_us = first_us
    if lead.last_event_us is None or last_us > lead.last_event_us:
        lead.last_event_us = last_us


def _note_known(lead: Lead, occurred_us: int) -> None:
    lead.known_since_us = min(lead.known_since_us, occurred_us)


def _note_day(lead: Lead, day: int) -> None:
    if not lead.days:
        lead.first_day = day
    elif day < lead.first_day:
        lead.days <<= lead.first_day - day
        lead.first_day = day
    lead.days |= 1 << (day - lead.first_day)


def _set_profile(lead: Lead, fact: Fact, said: Mapping[str, Any]) -> None:
    """Each key is last-write-wins by (time, event id); a null forgets the key and is remembered as such."""
    since = (fact.occurred_us, fact.event_id)
    profile, sinces = dict(lead.profile), dict(lead.profile_since)
    for key, value in said.items():
        known = sinces.get(key)
        if known is not None and since <= known:
            continue
        sinces[key] = since
        if value is None:
            profile.pop(key, None)
        else:
            profile[key] = value
    lead.profile, lead.profile_since = profile, sinces


def _is_later(lead: Lead, fact: Fact) -> bool:
    since, known = (fact.occurred_us, fact.event_id), lead.since.get(fact.type)
    if known is not None and since <= known:
        return False
    lead.since = {**lead.since, fact.type: since}
    return True


def _override(said: Mapping[str, Any]) -> Override | None:
    if "score" not in said:
        return None
    return Override(said["score"], said.get("reason", ""), said.get("until_us"), said.get("actor", ""))
