"""The laws of a score, as properties of the pure core."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.scorer.effects import Known, work_out
from services.scorer.scoring.default_model import default_model
from services.scorer.scoring.fold import Change, Folding
from services.scorer.scoring.lead import PROFILE, Fact, Lead
from services.scorer.scoring.model import Band, Criterion, Group, Model, Rule
from services.scorer.wire import Incoming

TYPES = ["page_view", "email_open", "purchase", "unknown_type", "refund"]
KEYS = ["budget", "industry", "company_size", "name"]
LEADS = ["ada", "grace", "übung/1"]
TENANT = "demo"

halves = st.integers(-200, 200).map(lambda number: number / 2)
bounds = st.tuples(st.none() | st.integers(-100, 0), st.none() | st.integers(1, 300))


@st.composite
def models(draw: st.DrawFn) -> Model:
    """A model with a few rules, groups and criteria of all kinds."""
    groups = []
    for name in ("web", "shop"):
        low, high = draw(bounds)
        groups.append(Group(name, low, high))
    rules = []
    for number in range(draw(st.integers(1, 6))):
        low, high = draw(bounds)
        event_type, group = draw(st.sampled_from(TYPES)), draw(st.sampled_from(["web", "shop", "other"]))
        rules.append(Rule(f"rule_{number}", event_type, draw(halves), group, low, high))
    criteria = (
        Criterion("by_number", "budget", bands=(Band(10, draw(halves)), Band(0, draw(halves), exclusive=True))),
        Criterion("by_word", "industry", words={"tech": draw(halves)}, otherwise=draw(halves)),
    )
    engagement_max, fit_max, score_max = (draw(st.integers(0, 400)) for _ in range(3))
    aliases = {"refund": "purchase"}
    return Model(1, tuple(rules), criteria, tuple(groups), aliases, engagement_max, fit_max, score_max)


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


def folded(model: Model, facts: list[Fact]) -> tuple[dict[str, Lead], list[Change]]:
    foldings: dict[str, Folding] = {}
    changes = []
    for fact in facts:
        folding = foldings.setdefault(fact.lead_id, Folding(model, Lead(fact.lead_id)))
        if change := folding.apply(fact):
            changes.append(change)
    return {name: folding.lead for name, folding in foldings.items()}, changes


def visible(lead: Lead) -> dict[str, Any]:
    """All of a lead that must not depend on the order; the number of changes on the way may."""
    names = ("counts", "profile", "profile_since", "event_count", "first_event_us", "last_event_us")
    parts = ("score", "engagement", "fit", "grade")
    return {name: getattr(lead, name) for name in (*names, *parts)}


@given(models(), fact_lists(), st.randoms(use_true_random=False))
def test_order_does_not_matter(model: Model, facts: list[Fact], chance: random.Random) -> None:
    other = list(facts)
    chance.shuffle(other)
    one, _ = folded(model, facts)
    two, _ = folded(model, other)
    assert {name: visible(lead) for name, lead in one.items()} == {name: visible(lead) for name, lead in two.items()}


@given(models(), fact_lists(), st.lists(st.integers(0, 25)))
def test_where_a_lead_is_put_down_and_taken_up_again_does_not_matter(
    model: Model, facts: list[Fact], cuts: list[int]
) -> None:
    foldings: dict[str, Folding] = {}
    for number, fact in enumerate(facts):
        if number in cuts:
            foldings = {name: Folding(model, folding.lead) for name, folding in foldings.items()}
        foldings.setdefault(fact.lead_id, Folding(model, Lead(fact.lead_id))).apply(fact)
    whole, _ = folded(model, facts)
    assert {name: folding.lead for name, folding in foldings.items()} == whole


@given(models(), fact_lists())
def test_the_score_is_its_ledger_and_each_row_its_contributions(model: Model, facts: list[Fact]) -> None:
    leads, changes = folded(model, facts)
    for name, lead in leads.items():
        rows = [change for change in changes if change.fact.lead_id == name]
        assert sum(row.after.score - row.score_before for row in rows) == lead.score
        assert [row.version for row in rows] == list(range(1, lead.version + 1))
        for before, row in zip([None, *rows], rows, strict=False):
            assert row.score_before == (before.after.score if before else 0)
            assert sum(each.points for each in row.contributions) == row.after.score - row.score_before


@given(models(), fact_lists())
def test_the_lines_of_an_evaluation_add_up_and_every_bound_holds(model: Model, facts: list[Fact]) -> None:
    _, changes = folded(model, facts)
    rules = {rule.name: rule for rule in model.rules}
    for change in changes:
        after = change.after
        assert sum(after.lines.values()) == after.score
        assert 0 <= after.engagement <= model.engagement_max
        assert 0 <= after.fit <= model.fit_max
        assert 0 <= after.score <= model.score_max
        for name, points in after.lines.items():
            if rule := rules.get(name):
                assert rule.minimum is None or points >= rule.minimum
                assert rule.maximum is None or points <= rule.maximum


@given(fact_lists(), st.data())
def test_repeats_do_not_matter_and_of_two_contents_the_first_stands(facts: list[Fact], data: st.DataObject) -> None:
    model = default_model()
    sent = [incoming(fact, b"as sent") for fact in facts]
    again = data.draw(st.lists(st.sampled_from(sent))) if sent else []
    others = [
        incoming(each.fact, b"otherwise") for each in (data.draw(st.lists(st.sampled_from(sent))) if sent else [])
    ]
    effects = work_out([*sent, *again, *others, *again, *others], Known(models={TENANT: model}))
    clean, _ = folded(model, facts)
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
    known = Known(models={TENANT: default_model()})
    sent = [incoming(fact, b"as sent") for fact in facts]
    for start in [0, *cuts]:
        effects = work_out(sent[start:], known)
        known.leads |= {key: folding.lead for key, folding in effects.foldings.items()}
    clean, _ = folded(default_model(), facts)
    assert {key[1]: lead for key, lead in known.leads.items()} == clean


@given(fact_lists())
def test_score_counts_are_the_numbers_of_leads_by_score(facts: list[Fact]) -> None:
    effects = work_out([incoming(fact, b"x") for fact in facts], Known(models={TENANT: default_model()}))
    scores = [folding.lead.score for folding in effects.foldings.values()]
    assert {key[2]: number for key, number in effects.score_counts.items() if number} == {
        score: scores.count(score) for score in scores
    }


def incoming(fact: Fact, digest: bytes) -> Incoming:
    return Incoming(fact, digest, TENANT, 0, 0, "", "import")
