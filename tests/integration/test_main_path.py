"""From ingest through the stream and the scorer to the tables, on real servers."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import psycopg
import pytest
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from services.shared.settings import Settings
from services.shared.tokens import decode_positions, encode_positions, merge_positions
from tests.checks import assert_as_expected
from tests.parts import Suite
from tests.shop import Row, expected_of, requests, shop_rows


async def load(suite: Suite, rows: Sequence[Row], import_id: str = "") -> str:
    """Sends rows and answers a token that covers all of them."""
    tokens = []
    async for answer in suite.ingest.StreamEvents(requests(rows, import_id)):
        assert not answer.rejections
        tokens.append(decode_positions(answer.consistency_token))
    return encode_positions(merge_positions(tokens))


async def settle(suite: Suite, token: str) -> None:
    """Waits until everything behind `token` is scored."""
    await suite.scorer.ListQuarantine(scorer.ListQuarantineRequest(consistency_token=token))


ORDERS: dict[str, Callable[[list[Row]], list[Row]]] = {
    "as they came": lambda rows: rows,
    "backwards": lambda rows: rows[::-1],
    "shuffled": lambda rows: random.Random(3).sample(rows, len(rows)),
}


@pytest.mark.parametrize("order", ORDERS)
async def test_shop_events_in_any_order_give_the_scores_computed_from_the_rows(settings: Settings, order: str) -> None:
    rows = ORDERS[order](shop_rows())
    async with Suite(settings) as suite:
        await suite.start("ingest", "scorer")
        await settle(suite, await load(suite, rows))
        assert_as_expected(settings.database_url, expected_of(rows))


async def test_loading_the_same_rows_again_in_other_batches_changes_nothing(settings: Settings) -> None:
    rows = shop_rows()
    async with Suite(settings) as suite:
        await suite.start("ingest", "scorer")
        await settle(suite, await load(suite, rows, "first"))
        await settle(suite, await load(suite, rows[137:] + rows[:137], "second"))
        await settle(suite, await load(suite, rows[::-1], "third"))
        assert_as_expected(settings.database_url, expected_of(rows))
        with psycopg.connect(settings.database_url) as connection:
            counts = "SELECT sum(accepted), sum(conflicts) FROM import_counts WHERE import_id = %s"
            first = connection.execute(counts, ["first"]).fetchone()
            later = connection.execute(counts, ["third"]).fetchone()
        expected = expected_of(rows)
        assert first == (expected.accepted, len(expected.conflicts))
        assert later == (0, 0)


async def test_the_same_laws_hold_for_any_number_of_partitions(settings: Settings) -> None:
    rows = shop_rows(rows=1_500)
    async with Suite(replace(settings, partitions=3)) as suite:
        await suite.start("ingest", "scorer")
        await settle(suite, await load(suite, rows))
        assert_as_expected(settings.database_url, expected_of(rows))


async def test_an_explanation_adds_up_to_the_score(settings: Settings) -> None:
    async with Suite(settings) as suite:
        await suite.start("ingest", "scorer")
        events = [event_pb2.Event(lead_id="ada", type="purchase") for _ in range(12)]
        await suite.ingest.PublishEvents(ingest.PublishEventsRequest(events=events))
        profile = ingest.UpsertLeadRequest(lead_id="ada")
        profile.profile.update({"budget": 50_000, "company_size": 250, "industry": "Tech", "urgency": "this_week"})
        token = (await suite.ingest.UpsertLead(profile)).consistency_token
        explained = await suite.scorer.ExplainScore(scorer.ExplainScoreRequest(lead_id="ada", consistency_token=token))
        assert (explained.score, explained.engagement, explained.fit, explained.grade) == (1000, 1000, 85, "A1")
        assert sum(each.points for each in explained.contributions) == 1000
        by_rule = {each.rule: each.points for each in explained.contributions}
        assert by_rule["purchase"] == 1200
        assert by_rule["bound:engagement"] == -200
        assert by_rule["bound:score"] == -85
