"""What was committed is announced, once, whatever happened in between; what is done leaves the stream."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import psycopg
import pytest
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.score.v1 import score_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.stream.v1 import stream_pb2

from services.scorer import consumer
from services.shared import bus as stream
from services.shared.bus import Bus
from services.shared.errors import StreamRebuilt
from services.shared.settings import Settings
from services.shared.tokens import decode_positions
from tests.parts import Suite

LEAVE_BEHIND = """
INSERT INTO outbox (announcement_id, scorer_id, tenant_id, number, payload) VALUES ('x/1', 'dead', 'demo', 0, %s)
"""


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(stream.connect(settings, "test", lambda: None))


async def announced(bus: Bus, count: int) -> list[score_pb2.ScoreUpdate]:
    updates: list[score_pb2.ScoreUpdate] = []
    async with bus.read_scores(0) as reader:
        while len(updates) < count:
            for message in await reader.read(10):
                updates += stream_pb2.ScoreAnnouncement.FromString(message.payload).updates
    return updates


async def test_what_a_dead_scorer_committed_and_did_not_announce_is_announced_at_take_over(
    settings: Settings, bus: Bus
) -> None:
    left = stream_pb2.ScoreAnnouncement(updates=[score_pb2.ScoreUpdate(lead_id="ada", version=1, score=5)])
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(LEAVE_BEHIND, [left.SerializeToString()])
    async with Suite(settings) as suite:
        await suite.start("scorer")
        assert [update.lead_id for update in await announced(bus, 1)] == ["ada"]
    with psycopg.connect(settings.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


async def test_every_change_is_announced_once_and_nothing_stays_in_the_outbox(settings: Settings, bus: Bus) -> None:
    async with Suite(settings) as suite:
        await suite.start("ingest", "scorer")
        events = [event_pb2.Event(lead_id=f"lead-{number % 7}", type="page_view") for number in range(50)]
        await suite.ingest.PublishEvents(ingest.PublishEventsRequest(events=events))
        updates = await announced(bus, 50)
    assert len(updates) == 50
    for lead_id in {update.lead_id for update in updates}:
        versions = [update.version for update in updates if update.lead_id == lead_id]
        assert versions == list(range(1, len(versions) + 1))
    with psycopg.connect(settings.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


async def test_a_stream_that_was_lost_and_made_anew_is_not_passed_over_in_silence(settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("INSERT INTO partitions (partition, position) VALUES (3, 1000)")
    async with Suite(settings) as suite:
        await suite.start("scorer")
        with pytest.raises(StreamRebuilt, match="ends at 0, but 1000 is committed"):
            await suite.running["scorer"].process.stopped()


async def test_what_is_committed_is_removed_from_the_stream(
    settings: Settings, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "PURGE_ROUND_S", 0.5)
    async with Suite(settings) as suite:
        await suite.start("ingest", "scorer")
        event = event_pb2.Event(lead_id="ada", type="page_view")
        answer = await suite.ingest.PublishEvent(ingest.PublishEventRequest(event=event))
        await suite.scorer.ListQuarantine(scorer.ListQuarantineRequest(consistency_token=answer.consistency_token))
        (partition,) = decode_positions(answer.consistency_token)
        while (await bus.backlog(partition, 0)).pending:
            pass
        progress = await suite.scorer.GetProgress(scorer.GetProgressRequest())
    assert (progress.pending, progress.lag_s) == (0, 0)
    assert [each.position for each in progress.partitions if each.partition == partition] == [1]
