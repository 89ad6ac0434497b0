"""Models, facts and lives of leads for the properties of scoring, and how hard they are tried.

The profile of hypothesis is named by the variable HYPOTHESIS_PROFILE:

    ci       what every run of the tests takes (the default)
    long     thousands of examples: HYPOTHESIS_PROFILE=long .venv/bin/pytest tests/unit -k scoring
    mutants  few examples, always the same, nothing made smaller: for mutation testing
"""

import os
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.fold import Change, Folding
from services.scorer.scoring.lead import DAY_US, NOTE, OVERRIDE, OWNER, PROFILE, STATUS, Fact, Lead
from services.scorer.scoring.model import (
    DEFAULT_FIT_GROUP,
    DEFAULT_GROUP,
    Band,
    Criterion,
    Decay,
    Frequency,
    Grades,
    Group,
    Measured,
    Model,
    Rule,
    Threshold,
    Weight,
)
from services.scorer.scoring.replay import DayCount, History
from services.scorer.scoring.validation import faults_of

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.differing_executors]
settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=SLOW)
settings.register_profile("long", max_examples=3_000, deadline=None, suppress_health_check=SLOW)
settings.register_profile(
    "mutants",
    max_examples=30,
    deadline=timedelta(seconds=20),
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=SLOW,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

ADA = "ada"
HOUR_US = DAY_US // 24
TODAY = 20_000
"""The day (since 1970) on which the lives begin."""
START_US = TODAY * DAY_US + 9 * HOUR_US

SENT_TYPES = ["page_view", "shop_buy", "email_open", "shop_view", "order", "visit", "unheard_of"]
RULE_TYPES = ["page_view", "shop_buy", "shop_*", "*"]
ALIASES = {"order": "shop_buy", "visit": "page_view"}
SOURCES = ["", "web", "crm"]
GROUPS = ["web", "shop", DEFAULT_GROUP]
FIT_GROUPS = ["firm", DEFAULT_FIT_GROUP]


def is_big(fact: Fact) -> bool:
    """The condition `big`: over the event's properties."""
    amount = (fact.properties or {}).get("amount")
    return isinstance(amount, int | float) and amount >= 50


def is_from_the_web(fact: Fact) -> bool:
    """The condition `from_the_web`: over the event's source."""
    return fact.source == "web"


def is_known_by_name(profile: Mapping[str, Any]) -> bool:
    """The condition `named`: over the profile."""
    return "name" in profile


def is_rich_and_in_tech(profile: Mapping[str, Any]) -> bool:
    """The condition `rich`: over two keys of the profile."""
    budget = profile.get("budget")
    return isinstance(budget, int | float) and budget > 10 and profile.get("industry") == "tech"


EVENT_CONDITIONS: dict[str, Callable[[Fact], bool]] = {"big": is_big, "from_the_web": is_from_the_web}
PROFILE_CONDITIONS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "named": is_known_by_name,
    "rich": is_rich_and_in_tech,
}


def compiled(model: Model) -> CompiledModel:
    """A model whose conditions are the names of functions above."""
    return CompiledModel(
        model,
        {rule.name: EVENT_CONDITIONS[rule.condition] for rule in model.rules if rule.condition},
        {each.name: PROFILE_CONDITIONS[each.condition] for each in model.criteria if each.condition},
    )


points = st.one_of(
    st.integers(-20, 60).map(lambda number: number / 2),
    st.integers(-100, 300).map(lambda number: number / 8),
    st.integers(-20, 80).map(lambda number: number / 10),
)
minima = st.none() | st.none() | st.integers(-50, 20)
maxima = st.none() | st.none() | st.integers(-10, 80)
weights = st.builds(Weight, st.sampled_from(Decay), st.integers(1, 6) | st.sampled_from([30, 365]))
paths = st.sampled_from(["", "", "source", "properties.item", "properties.cart.id"])


def _bounds(draw: st.DrawFn) -> tuple[int | None, int | None]:
    low, high = draw(minima), draw(maxima)
    return (high, low) if low is not None and high is not None and low > high else (low, high)


@st.composite
def frequencies(draw: st.DrawFn) -> Frequency:
    """At least one limit; not more in a day than in all."""
    of_all, of_a_day = draw(st.none() | st.integers(1, 4)), draw(st.none() | st.integers(1, 3))
    if of_all is None and of_a_day is None:
        of_all = 1
    if of_all is not None and of_a_day is not None:
        of_a_day = min(of_all, of_a_day)
    return Frequency(of_all, of_a_day, draw(paths))


@st.composite
def rules(draw: st.DrawFn, name: str) -> Rule:
    """A rule of any kind."""
    low, high = _bounds(draw)
    return Rule(
        name,
        draw(st.sampled_from(RULE_TYPES)),
        draw(points),
        draw(st.sampled_from(GROUPS)),
        low,
        high,
        draw(st.sampled_from(["", "", "", *EVENT_CONDITIONS])),
        draw(st.none() | frequencies()),
        draw(st.none() | weights),
    )


@st.composite
def criteria(draw: st.DrawFn) -> tuple[Criterion, ...]:
    """Bands, words and conditions, in groups."""
    found = []
    if draw(st.booleans()):
        starts = draw(st.lists(st.sampled_from([0, 10, 10.5, 50]), min_size=1, unique=True))
        bands = tuple(Band(start, draw(points), draw(st.booleans())) for start in starts)
        found.append(Criterion("by_number", "budget", bands))
    if draw(st.booleans()):
        words = draw(st.dictionaries(st.sampled_from(["tech", "finance"]), points, min_size=1))
        bands = (Band(5, draw(points)),) if draw(st.booleans()) else ()
        found.append(Criterion("by_word", "industry", bands, words, draw(points)))
    names = draw(st.lists(st.sampled_from(sorted(PROFILE_CONDITIONS)), unique=True))
    found += [Criterion(f"if_{name}", condition=name, points=draw(points)) for name in names]
    return tuple(replace(each, group=draw(st.sampled_from(FIT_GROUPS))) for each in found)


def _levels(draw: st.DrawFn, names: str, maximum: int) -> tuple[tuple[str, int], ...]:
    starts = draw(st.sets(st.integers(1, maximum), max_size=len(names)))
    return tuple(zip(names, sorted(starts, reverse=True), strict=False))


def _groups(draw: st.DrawFn, used: Iterable[str]) -> tuple[Group, ...]:
    return tuple(Group(name, *_bounds(draw)) for name in sorted(set(used)) if draw(st.booleans()))


@st.composite
def models(draw: st.DrawFn, version: int = 1) -> Model:
    """A model without faults, with everything that a model can have."""
    its_rules = tuple(draw(rules(f"rule_{number}")) for number in range(draw(st.integers(1, 5))))
    its_criteria = draw(criteria())
    engagement_max, fit_max, score_max = (draw(st.sampled_from([150, 1000, 60, 20])) for _ in range(3))
    letters, digits = _levels(draw, "ABC", fit_max), _levels(draw, "12", engagement_max)
    lowest = min((at for _, at in (*letters, *digits)), default=5)
    maximum_of = {Measured.SCORE: score_max, Measured.ENGAGEMENT: engagement_max, Measured.FIT: fit_max}
    thresholds = []
    for name in draw(st.sampled_from([["hot"], ["hot", "warm"], ["ripe", "warm", "hot"], []])):
        of = draw(st.sampled_from(Measured))
        at = draw(st.integers(1, min(maximum_of[of], 40)))
        thresholds.append(Threshold(name, at, draw(st.integers(0, at - 1)), of))
    model = Model(
        version,
        its_rules,
        its_criteria,
        _groups(draw, (rule.group for rule in its_rules)),
        _groups(draw, (each.group for each in its_criteria)),
        ALIASES,
        engagement_max,
        fit_max,
        score_max,
        Grades(letters, "D", digits, "3", draw(st.just(0) | st.integers(0, lowest - 1))),
        tuple(thresholds),
    )
    # A rule and its group may contradict each other; then it is a model without groups.
    return replace(model, groups=()) if faults_of(model) else model


items = st.sampled_from([None, 1, 1.0, True, "1", "", [1, 2], {"a": 1, "b": None}])
properties = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "amount": st.sampled_from([49.5, 50, 1000, "many"]),
        "item": items,
        "cart": st.sampled_from([None, "none", {}, {"id": 1}, {"id": 2}, {"id": {"x": 1}}]),
    },
)
profiles = st.dictionaries(
    st.sampled_from(["budget", "industry", "name"]),
    st.sampled_from([None, True, -1, 0, 10, 10.5, 1000, "tech", " Tech ", "finance", "fishing", ""]),
    min_size=1,
)


@st.composite
def overrides(draw: st.DrawFn, at_us: int) -> dict[str, Any]:
    """A score by hand, for a while or until it is taken back; or its taking back."""
    if draw(st.integers(0, 4)) == 0:
        return {}
    ends = st.sampled_from([-HOUR_US, HOUR_US, DAY_US, 2 * DAY_US + 5 * HOUR_US]).map(lambda later: at_us + later)
    return {"score": draw(st.integers(0, 60)), "reason": "told so", "until_us": draw(st.none() | ends)}


@st.composite
def facts(draw: st.DrawFn, number: int = 0, lead_id: str = ADA, now_us: int = START_US) -> Fact:
    """A fact of any kind, of today, days ago, or tomorrow; many at the same time."""
    days, hours = draw(st.sampled_from([0, 0, 0, -1, -2, -3, -7, -40, 1])), draw(st.sampled_from([0, 1, 9, 23]))
    at_us = (now_us // DAY_US + days) * DAY_US + hours * HOUR_US
    event_id = f"{draw(st.sampled_from('abc'))}{number}"
    match draw(st.sampled_from(["event"] * 6 + [PROFILE] * 3 + [OVERRIDE, OVERRIDE, STATUS, OWNER, NOTE])):
        case "event":
            event_type, source = draw(st.sampled_from(SENT_TYPES)), draw(st.sampled_from(SOURCES))
            return Fact(event_id, lead_id, event_type, at_us, draw(properties), source)
        case "$profile":
            return Fact(event_id, lead_id, PROFILE, at_us, draw(profiles))
        case "$override":
            return Fact(event_id, lead_id, OVERRIDE, at_us, draw(overrides(now_us)))
        case "$status":
            return Fact(event_id, lead_id, STATUS, at_us, {"status": draw(st.sampled_from(["new", "won", "lost"]))})
        case "$owner":
            return Fact(event_id, lead_id, OWNER, at_us, {"owner": draw(st.sampled_from(["", "kim", "lee"]))})
    return Fact(event_id, lead_id, NOTE, at_us, {"text": "called"})


@st.composite
def fact_lists(draw: st.DrawFn, most: int = 14) -> list[Fact]:
    """Facts with ids of their own; at least one, since a lead is created by its first."""
    return [draw(facts(number)) for number in range(draw(st.integers(1, most)))]


pauses = st.sampled_from([HOUR_US, 15 * HOUR_US, DAY_US, DAY_US, 3 * DAY_US, 20 * DAY_US])


@dataclass(frozen=True)
class Moment:
    """A step in the life of a lead: a fact that comes, or None for time alone."""

    at_us: int
    fact: Fact | None


@st.composite
def lives(draw: st.DrawFn, most: int = 14) -> list[Moment]:
    """Facts and time in turn, a fact first; the clock never goes back. The last step is time alone."""
    at_us, moments = START_US, [Moment(START_US, draw(facts()))]
    for number in range(1, draw(st.integers(most // 3, most))):
        if draw(st.integers(0, 2)) == 0:
            at_us += draw(pauses)
            moments.append(Moment(at_us, None))
        else:
            moments.append(Moment(at_us, draw(facts(number, now_us=at_us))))
    return [*moments, Moment(at_us, None)]


@dataclass(frozen=True)
class Row:
    """What one step made of a lead: the lead after it, and the rows of its ledger."""

    lead: Lead
    changes: list[Change]


def live(model: CompiledModel, moments: Iterable[Moment], lead: Lead | None = None) -> list[Row]:
    """Lives a life, with the lead put down and taken up again at each step, as what is stored is."""
    rows, lead = [], lead or Lead(ADA)
    for moment in moments:
        folding = Folding(model, deepcopy(lead), moment.at_us)
        made = [folding.pass_time(), *([folding.apply(moment.fact)] if moment.fact else [])]
        lead = folding.lead
        rows.append(Row(lead, [change for change in made if change]))
    return rows


def lived(model: CompiledModel, moments: Iterable[Moment], lead: Lead | None = None) -> Lead:
    """The lead that a life makes."""
    rows = live(model, moments, lead)
    return rows[-1].lead


def folded(model: CompiledModel, its_facts: Iterable[Fact], at_us: int = START_US) -> Folding:
    """All facts in one go, at one time."""
    folding = Folding(model, Lead(ADA), at_us)
    folding.pass_time()
    for fact in its_facts:
        folding.apply(fact)
    return folding


def visible(lead: Lead) -> dict[str, Any]:
    """All of a lead that depends neither on the order nor on the way; what was announced on the way may."""
    of_the_way = {"version", "changed_day", "letter", "digit", "above"}
    names = [field.name for field in fields(Lead)]
    return {name: getattr(lead, name) for name in names if name not in of_the_way}


def history_of(model: CompiledModel, its_facts: Iterable[Fact]) -> History:
    """What a store needs to keep of facts for a model: counts by day, where these are enough."""
    its_facts = list(its_facts)
    events = [fact for fact in its_facts if fact.is_event]
    history = History(earliest=min(events, key=lambda event: (event.occurred_us, event.event_id), default=None))
    days = dict[tuple[str, int], list[int]]()
    whole = model.types_needing_the_event
    for fact in its_facts:
        if fact.is_event and whole is not None and fact.type not in whole:
            days.setdefault((fact.type, fact.occurred_us // DAY_US), []).append(fact.occurred_us)
        else:
            history.facts.append(fact)
    history.days += [DayCount(*key, len(times), min(times), max(times)) for key, times in days.items()]
    return history
