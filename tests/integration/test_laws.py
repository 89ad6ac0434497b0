"""The laws of a score on real servers, with a model that uses everything, against scores worked out from the rows.

Three orders and three numbers of partitions; all nine pairs if a file of real events is named (see tests/shop.py).
"""

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import psycopg
import pytest
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.model.v1 import model_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from services.scorer.models import read_definition
from services.scorer.scoring.lead import DAY_US, Fact
from services.shared.settings import Settings
from services.shared.tokens import decode_positions, encode_positions, merge_positions
from tests.checks import BROKEN_LEDGERS, assert_sums_are_those_of_the_leads
from tests.parts import MovedClock, Suite
from tests.shop import FILE_SETTING, TYPES, Row, requests, shop_rows
from tests.unit.scoring_oracle import expected_of

DEFINITION = model_pb2.ModelDefinition(
    rules=[
        model_pb2.Rule(
            name="visit", event_type="page_view", points=3, group="web", maximum=400,
            frequency=model_pb2.Frequency(count_max_per_day=2), weight=model_pb2.Weight(half_life_days=400),
        ),
        model_pb2.Rule(
            name="reads mail", event_type="email_*", points=1.1, group="web",
            weight=model_pb2.Weight(lifespan_days=3_000),
        ),
        model_pb2.Rule(
            name="form", event_type="form_submission", points=20, frequency=model_pb2.Frequency(count_max=3),
            condition='event.type.startsWith("form") && event.source != "test"',
        ),
        model_pb2.Rule(
            name="demo", event_type="demo", points=50, frequency=model_pb2.Frequency(count_max=1, per="source"),
        ),
        model_pb2.Rule(
            name="bought", event_type="purchase", points=100, minimum=-10,
            weight=model_pb2.Weight(expires_after_days=1_200),
        ),
        model_pb2.Rule(name="everything", event_type="*", points=-0.01),
    ],
    criteria=[model_pb2.Criterion(name="size", key="size", bands=[model_pb2.Band(at_least=5, points=30.5)])],
    groups=[model_pb2.Group(name="web", maximum=500)],
    aliases={"demo_request": "demo"},
    engagement_max=900,
    score_max=920,
    grades=model_pb2.Grades(hysteresis=10),
    thresholds=[model_pb2.Threshold(name="call now", at=150, hysteresis=20)],
)  # fmt: skip
MODEL = read_definition(DEFINITION, 2)
CONDITIONS: dict[str, Callable[[Any], bool]] = {
    MODEL.rules[2].condition: lambda event: event.type.startswith("form") and event.source != "test"
}

ORDERS: dict[str, Callable[[list[Row]], list[Row]]] = {
    "as they came": lambda rows: rows,
    "backwards": lambda rows: rows[::-1],
    "shuffled": lambda rows: random.Random(3).sample(rows, len(rows)),
}
PARTITIONS = (1, 5, 16)
ALL = [(order, partitions) for order in ORDERS for partitions in PARTITIONS]
PAIRS = ALL if FILE_SETTING in os.environ else list(zip(ORDERS, PARTITIONS, strict=True))


@pytest.mark.parametrize(("order", "partitions"), PAIRS)
async def test_the_laws_hold_in_any_order_on_any_number_of_partitions(
    settings: Settings, order: str, partitions: int
) -> None:
    rows = ORDERS[order](shop_rows(1_500, 30))
    half = len(rows) // 2
    async with Suite(replace(settings, partitions=partitions), MovedClock()) as suite:
        await suite.start("ingest", "scorer")
        await scored(suite, await sent(suite, rows[:half]))
        draft = await suite.scorer.CreateDraft(scorer.CreateDraftRequest(definition=DEFINITION))
        publish = scorer.PublishModelRequest(version=draft.version, rescore=True)
        begun = await suite.scorer.PublishModel(publish)
        token = await sent(suite, rows[half:])
        profile = ingest.UpsertLeadRequest(lead_id=rows[0].user_id, profile={"size": 7})  # type: ignore[arg-type]
        await suite.ingest.UpsertLead(profile)
        await done(suite, begun.operation)
        await scored(suite, token)
        facts = standing(rows)
        facts[rows[0].user_id].append(Fact("profile", rows[0].user_id, "$profile", 2**60, {"size": 7}))
        await assert_as_worked_out(suite, facts)
        await scored(suite, await sent(suite, rows))
        again = await done(suite, await suite.scorer.Rescore(scorer.RescoreRequest()))
        assert again.leads_changed == 0, "replaying everything gives what is stored"
        assert isinstance(suite.clock, MovedClock)
        suite.clock.move(200)
        await done(suite, await suite.scorer.Rescore(scorer.RescoreRequest()))
        await assert_as_worked_out(suite, facts)
        await assert_the_past_can_be_asked_for(suite, facts, rows)
        assert_ledgers(settings)


async def sent(suite: Suite, rows: Sequence[Row]) -> str:
    tokens = [decode_positions(each.consistency_token) async for each in suite.ingest.StreamEvents(requests(rows))]
    return encode_positions(merge_positions(tokens))


async def scored(suite: Suite, token: str) -> None:
    await suite.scorer.ListQuarantine(scorer.ListQuarantineRequest(consistency_token=token))


async def done(suite: Suite, operation: scorer.Operation) -> scorer.Operation:
    request = scorer.GetOperationRequest(operation_id=operation.operation_id)
    while (found := await suite.scorer.GetOperation(request)).state == scorer.OPERATION_STATE_RUNNING:
        pass
    assert found.state == scorer.OPERATION_STATE_DONE
    return found


def standing(rows: Sequence[Row]) -> dict[str, list[Fact]]:
    """The facts that count: of each id the first, by lead."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.event_id, row)
    facts: dict[str, list[Fact]] = {}
    for row in first.values():
        moment = datetime.fromisoformat(row.ts).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        fact = Fact(row.event_id, row.user_id, TYPES[row.event_type], moment // timedelta(microseconds=1))
        facts.setdefault(row.user_id, []).append(fact)
    return facts


async def assert_as_worked_out(suite: Suite, facts: dict[str, list[Fact]]) -> None:
    assert suite.clock is not None
    for lead, about in facts.items():
        why = await suite.scorer.ExplainScore(scorer.ExplainScoreRequest(lead_id=lead))
        assert_explained(why, about, suite.clock.now_us())


def assert_explained(why: scorer.ExplainScoreResponse, facts: list[Fact], at_us: int) -> None:
    expected = expected_of(MODEL, CONDITIONS, facts, at_us)
    assert (why.score, why.engagement, why.fit, why.grade) == (
        expected.score, expected.engagement, expected.fit, expected.grade,
    )  # fmt: skip
    lines = {each.rule: Fraction(each.points) for each in why.contributions}
    assert {name: lines.get(name, 0) for name in expected.rules} == expected.rules
    assert sum(lines.values()) == why.score
    assert 0 <= why.engagement <= MODEL.engagement_max
    assert 0 <= why.score <= MODEL.score_max


async def assert_the_past_can_be_asked_for(suite: Suite, facts: dict[str, list[Fact]], rows: Sequence[Row]) -> None:
    for row in rows[:: len(rows) // 8]:
        about = facts[row.user_id]
        times = sorted(fact.occurred_us for fact in about if fact.is_event)
        at_us = times[len(times) // 2] + DAY_US
        request = scorer.ExplainScoreRequest(lead_id=row.user_id)
        request.as_of.FromMicroseconds(at_us)
        why = await suite.scorer.ExplainScore(request)
        assert_explained(why, [fact for fact in about if fact.occurred_us <= at_us], at_us)


def assert_ledgers(settings: Settings) -> None:
    """The score is its ledger, each row is its contributions, no bound was ever broken, and crossings alternate."""
    assert_sums_are_those_of_the_leads(settings.database_url)
    with psycopg.connect(settings.database_url) as connection:
        assert connection.execute(BROKEN_LEDGERS).fetchall() == []
        above: dict[tuple[str, str], str] = {}
        query = "SELECT lead_id, delta, score_after, contributions, crossings FROM ledger ORDER BY lead_id, sequence"
        for lead, delta, score, contributions, crossings in connection.execute(query):
            assert sum(each["points"] for each in contributions) == delta
            assert 0 <= score <= 1_000
            for crossing in crossings or ():
                assert above.get((lead, crossing["threshold"]), crossing["before"]) == crossing["before"]
                above[lead, crossing["threshold"]] = crossing["after"]
