"""Event ids are taken for new without a look. What comes again all the same is found out, and looked for then."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc import aio
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from services.scorer.gathered import ROWS_AT_ONCE_MAX
from services.scorer.optimism import LOOK_FOR_S
from services.shared.settings import Settings
from tests.checks import assert_sums_are_those_of_the_leads
from tests.parts import MovedClock, Suite

LEAD = "ada"
DAY_S = 86_400.0
SIZES = [1, ROWS_AT_ONCE_MAX + 1]
"""Events in a batch: what is committed by one statement, and what goes by COPY."""


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
async def suite(settings: Settings, clock: MovedClock) -> AsyncIterator[Suite]:
    async with Suite(settings, clock) as suite:
        await suite.start("ingest", "scorer", "query")
        yield suite
    assert_sums_are_those_of_the_leads(settings.database_url)


def some(number: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(number)]


async def send(suite: Suite, *event_ids: str) -> str:
    """In a message that the stream has not seen, if it has not seen these events together."""
    events = [event_pb2.Event(event_id=event_id, lead_id=LEAD, type="page_view") for event_id in event_ids]
    for event in events:
        event.occurred_at.seconds = 1_700_000_000
    return (await suite.ingest.PublishEvents(ingest.PublishEventsRequest(events=events))).consistency_token


async def counted(suite: Suite, token: str) -> int:
    """How many events of the lead count."""
    try:
        lead = await suite.query.GetLead(query.GetLeadRequest(lead_id=LEAD, consistency_token=token))
    except aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        return 0
    return lead.event_count


async def fresh_starts(suite: Suite) -> int:
    return (await suite.scorer.GetProgress(scorer.GetProgressRequest())).retries


@pytest.mark.parametrize("size", SIZES)
async def test_a_repeat_that_the_stream_does_not_recognise_counts_once_and_is_looked_for_from_then_on(
    suite: Suite, clock: MovedClock, size: int
) -> None:
    first = some(size)
    assert await counted(suite, await send(suite, *first)) == size
    for number in (1, 2, 3):
        token = await send(suite, *first, *some(1))
        assert (await counted(suite, token), await fresh_starts(suite)) == (size + number, 1)
    clock.move(LOOK_FOR_S / DAY_S)
    token = await send(suite, *first, *some(1))
    assert (await counted(suite, token), await fresh_starts(suite)) == (size + 4, 2)


@pytest.mark.parametrize("size", SIZES)
async def test_an_event_of_an_erased_lead_does_not_come_back(suite: Suite, size: int) -> None:
    first = some(size)
    await send(suite, *first)
    erased = await suite.ingest.DeleteLead(ingest.DeleteLeadRequest(lead_id=LEAD))
    assert await counted(suite, erased.consistency_token) == 0
    token = await send(suite, *first, *some(1))
    assert (await counted(suite, token), await fresh_starts(suite)) == (1, 1)
    token = await send(suite, *first, *some(1))
    assert (await counted(suite, token), await fresh_starts(suite)) == (2, 1)


@pytest.mark.parametrize("size", SIZES)
async def test_events_that_are_new_are_taken_without_a_fresh_start(suite: Suite, size: int) -> None:
    for number in (1, 2, 3):
        assert await counted(suite, await send(suite, *some(size))) == size * number
    assert await fresh_starts(suite) == 0
