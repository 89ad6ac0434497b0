"""Repeats, conflicts, and the numbers of leads by score: what becomes of a batch of facts."""

from hypothesis import given
from hypothesis import strategies as st

from services.scorer.effects import Known, work_out
from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.default_model import default_model
from services.scorer.scoring.fold import Folding
from services.scorer.scoring.lead import DAY_US, PROFILE, Fact, Lead
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


def incoming(fact: Fact, digest: bytes) -> Incoming:
    return Incoming(fact, digest, TENANT, 0, 0, "import")
