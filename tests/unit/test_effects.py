"""Repeats, conflicts, erasures, and the numbers of leads by score: what becomes of a batch of facts."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from leadscore.score.v1 import score_pb2
from leadscore.stream.v1 import stream_pb2

from services.scorer.announcements import announcements_of
from services.scorer.effects import Effects, Known, work_out
from services.scorer.rollups import HOUR_US
from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.default_model import default_model
from services.scorer.scoring.fold import Folding
from services.scorer.scoring.lead import DAY_US, ERASURE, PROFILE, STATUS, Fact, Lead
from services.scorer.wire import Incoming

TYPES = ["page_view", "email_open", "purchase", "unknown_type", "refund"]
KEYS = ["budget", "industry", "company_size", "name"]
LEADS = ["ada", "grace", "übung/1"]
TENANT = "demo"

AT_US = 20_000 * DAY_US
MODEL = CompiledModel(default_model())

values = st.none() | st.booleans() | st.integers(-5, 100) | st.sampled_from(["tech", " Tech ", "finance", ""])
profiles = st.dictionaries(st.sampled_from(KEYS), values, min_size=1)


@st.composite
def fact_lists(draw: st.DrawFn) -> list[Fact]:
    """Facts with ids of their own, some at the same time."""
    facts = []
    for number in range(draw(st.integers(0, 25))):
        lead, at = draw(st.sampled_from(LEADS)), draw(st.integers(0, 10))
        if draw(st.booleans()):
            facts.append(Fact(f"e{number}", lead, draw(st.sampled_from(TYPES)), at))
        else:
            facts.append(Fact(f"e{number}", lead, PROFILE, at, draw(profiles)))
    return facts


def folded(facts: list[Fact]) -> dict[str, Lead]:
    foldings: dict[str, Folding] = {}
    for fact in facts:
        foldings.setdefault(fact.lead_id, Folding(MODEL, Lead(fact.lead_id), AT_US)).apply(fact)
    return {name: folding.lead for name, folding in foldings.items()}


@given(fact_lists(), st.data())
def test_repeats_do_not_matter_and_of_two_contents_the_first_stands(facts: list[Fact], data: st.DataObject) -> None:
    sent = [incoming(fact, b"as sent") for fact in facts]
    again = data.draw(st.lists(st.sampled_from(sent))) if sent else []
    others = [
        incoming(each.fact, b"otherwise") for each in (data.draw(st.lists(st.sampled_from(sent))) if sent else [])
    ]
    effects = work_out([*sent, *again, *others, *again, *others], Known(models={TENANT: MODEL}), AT_US, 0)
    clean = folded(facts)
    assert {key[1]: folding.lead for key, folding in effects.foldings.items()} == clean
    assert [each.fact for each in effects.events] == facts
    assert {each.incoming.fact.event_id for each in effects.conflicts} == {each.fact.event_id for each in others}
    tally = effects.tallies.get((TENANT, "import", 0))
    if tally:
        assert tally.accepted == len(facts)
        assert tally.conflicts == len({each.fact.event_id for each in others})
        assert tally.duplicates == 2 * (len(again) + len(others)) - tally.conflicts


@given(fact_lists(), st.lists(st.integers(0, 25)))
def test_batches_that_are_processed_again_change_nothing(facts: list[Fact], cuts: list[int]) -> None:
    known = Known(models={TENANT: MODEL})
    sent = [incoming(fact, b"as sent") for fact in facts]
    for start in [0, *cuts]:
        effects = work_out(sent[start:], known, AT_US, 0)
        known.leads |= {key: folding.lead for key, folding in effects.foldings.items()}
    clean = folded(facts)
    assert {key[1]: lead for key, lead in known.leads.items()} == clean


@given(fact_lists())
def test_score_counts_are_the_numbers_of_leads_by_score(facts: list[Fact]) -> None:
    effects = work_out([incoming(fact, b"x") for fact in facts], Known(models={TENANT: MODEL}), AT_US, 0)
    scores = [folding.lead.score for folding in effects.foldings.values()]
    assert {key[2]: number for key, number in effects.score_counts.items() if number} == {
        score: scores.count(score) for score in scores
    }


class Stored:
    """What batches leave behind."""

    def __init__(self) -> None:
        self.leads: dict[str, Lead] = {}
        self.events: dict[str, Fact] = {}
        self.standing: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.sums: Counter[Any] = Counter()

    def process(self, batch: list[Fact]) -> Effects:
        known = Known(models={TENANT: MODEL}, standing=dict(self.standing))
        known.leads = {(TENANT, name): lead for name, lead in self.leads.items()}
        for name in {fact.lead_id for fact in batch if fact.type == ERASURE}:
            known.event_counts[TENANT, name] = [
                (fact.type, fact.source, fact.occurred_us // HOUR_US, 1)
                for fact in self.events.values()
                if fact.lead_id == name and fact.is_event
            ]
        effects = work_out([incoming(fact, b"as sent") for fact in batch], known, AT_US, 0)
        for _, name in effects.erasures.leads:
            self.leads.pop(name, None)
            self.events = {key: fact for key, fact in self.events.items() if fact.lead_id != name}
        self.leads |= {name: folding.lead for (_, name), folding in effects.foldings.items()}
        self.events |= {each.fact.event_id: each.fact for each in effects.events}
        self.standing |= known.standing
        self.sums.update(effects.score_counts)
        for key, count, total in effects.rollups.rows():
            self.sums.update({key: count, (*key, "total"): total})
        return effects


@st.composite
def lives(draw: st.DrawFn) -> list[Fact]:
    """Facts of which some are statuses, some erasures, and some come again."""
    facts: list[Fact] = []
    for fact in draw(fact_lists()):
        kind = draw(st.sampled_from(["as it is", "as it is", "status", "erasure", "again"]))
        if kind == "status":
            said = {"status": draw(st.sampled_from(["contacted", "qualified", "won"]))}
            facts.append(replace(fact, type=STATUS, properties=said))
        elif kind == "erasure":
            facts.append(replace(fact, type=ERASURE, properties={"actor": "kim"}))
        elif kind == "again" and facts:
            facts.append(draw(st.sampled_from(facts)))
        else:
            facts.append(fact)
    return facts


@given(lives(), st.lists(st.integers(0, 25)))
def test_what_was_erased_is_as_if_it_had_never_been(facts: list[Fact], cuts: list[int]) -> None:
    stored, never = Stored(), Stored()
    ends = [0, *sorted(cuts), len(facts)]
    for start, end in pairwise(ends):
        stored.process(facts[start:end])
    first = list(dict(zip((fact.event_id for fact in facts), facts, strict=True)).values())
    erased_at = {fact.lead_id: place for place, fact in enumerate(first) if fact.type == ERASURE}
    left = [fact for place, fact in enumerate(first) if place > erased_at.get(fact.lead_id, -1)]
    never.process(left)
    assert stored.leads == never.leads == folded(left)
    assert stored.events == never.events
    assert {key: number for key, number in stored.sums.items() if number} == {
        key: number for key, number in never.sums.items() if number
    }


@given(lives())
def test_of_an_erased_lead_no_event_id_names_it_any_more(facts: list[Fact]) -> None:
    stored = Stored()
    stored.process(facts)
    assert set(stored.standing) == {(TENANT, fact.event_id) for fact in facts}
    assert {event_id for (_, event_id), (_, name) in stored.standing.items() if name} == set(stored.events)


def test_the_end_of_a_lead_is_told_before_what_begins_behind_it_and_only_of_one_that_was_stored() -> None:
    stored = Stored()
    stored.process([Fact("e1", "ada", "purchase", 1), Fact("e2", "ada", "purchase", 2)])
    end = Fact("x1", "ada", ERASURE, 3)
    effects = stored.process([Fact("e3", "ada", "purchase", 3), end, Fact("e4", "ada", "page_view", 4)])
    (announcement,) = announcements_of(effects, "batch", AT_US)
    updates = stream_pb2.ScoreAnnouncement.FromString(announcement.payload).updates
    assert [(each.cause, each.version, each.previous_score, each.score) for each in updates] == [
        (score_pb2.CAUSE_ERASURE, 3, 200, 0),
        (score_pb2.CAUSE_EVENT, 1, 0, 5),
    ]
    effects = Stored().process([Fact("e1", "grace", "purchase", 1), Fact("x", "grace", ERASURE, 3)])
    assert announcements_of(effects, "batch", AT_US) == []


def incoming(fact: Fact, digest: bytes) -> Incoming:
    return Incoming(fact, digest, TENANT, 0, 0, "import")
