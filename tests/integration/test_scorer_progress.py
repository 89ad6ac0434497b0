"""What the scorers say of their progress."""

from collections.abc import AsyncIterator

import pytest
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from services.shared.settings import Settings
from tests.parts import Suite


@pytest.fixture
async def suite(settings: Settings) -> AsyncIterator[Suite]:
    async with Suite(settings) as suite:
        await suite.start("ingest", "scorer", "query")
        yield suite


async def test_progress_says_how_fast_events_are_scored(suite: Suite) -> None:
    first = await suite.scorer.GetProgress(scorer.GetProgressRequest())
    assert (first.events_per_s, first.retries) == (0, 0)
    events = [event_pb2.Event(lead_id="ada", type="page_view") for _ in range(50)]
    published = await suite.ingest.PublishEvents(ingest.PublishEventsRequest(events=events))
    await suite.query.GetRank(
        query.GetRankRequest(lead_id="ada", consistency_token=published.consistency_token), timeout=30
    )
    second = await suite.scorer.GetProgress(scorer.GetProgressRequest())
    assert second.events_per_s > 0.5, "fifty in less than a minute and a half"
