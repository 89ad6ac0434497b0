"""What cannot be processed is set apart with a reason, and holds nothing up."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import psycopg
import pytest
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.stream.v1 import stream_pb2

from services.scorer import processor
from services.shared import bus as stream
from services.shared.bus import Bus
from services.shared.facts.identity import partition_of
from services.shared.settings import Settings
from services.shared.tokens import encode_positions
from tests.parts import Suite

Quarantine = scorer.ListQuarantineRequest


@pytest.fixture
async def suite(settings: Settings) -> AsyncIterator[Suite]:
    async with Suite(settings) as suite:
        await suite.start("ingest", "scorer", "query")
        yield suite


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    """A way past ingest, which lets none of this through."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(stream.connect(settings, "test", lambda: None))


async def put(bus: Bus, partition: int, payload: bytes) -> str:
    published = await bus.publish_facts([(partition, "demo", payload, f"id-{payload.hex()[:32]}")])
    return encode_positions({partition: published[0].sequence})


def batch(*events: event_pb2.Event) -> bytes:
    facts = stream_pb2.FactBatch(received_at_us=1, kind=stream_pb2.FACT_KIND_EVENT, digests=b"d" * 16 * len(events))
    facts.events.extend(events)
    return facts.SerializeToString()


def event(event_id: str, lead_id: str = "ada") -> event_pb2.Event:
    made = event_pb2.Event(event_id=event_id, lead_id=lead_id, type="page_view")
    made.occurred_at.seconds = 1_700_000_000
    return made


async def test_a_message_that_cannot_be_read_is_kept_as_it_came(suite: Suite, bus: Bus, settings: Settings) -> None:
    token = await put(bus, 3, b"\xff\xff not a message")
    answer = await suite.scorer.ListQuarantine(Quarantine(consistency_token=token))
    assert [item.reason for item in answer.items] == [scorer.QUARANTINE_REASON_POISON]
    with psycopg.connect(settings.database_url) as connection:
        kept = connection.execute("SELECT payload FROM quarantine").fetchall()
    assert kept == [(b"\xff\xff not a message",)]
    progress = await suite.scorer.GetProgress(scorer.GetProgressRequest())
    assert progress.dead_letters == 1


@pytest.mark.parametrize("properties", [[b"{"], [b"[1]"], [b"{}", b"{}"]])
async def test_properties_that_cannot_be_read_make_the_message_unreadable(
    suite: Suite, bus: Bus, properties: list[bytes]
) -> None:
    facts = stream_pb2.FactBatch.FromString(batch(event("e1")))
    facts.properties.extend(properties)
    token = await put(bus, 3, facts.SerializeToString())
    answer = await suite.scorer.ListQuarantine(Quarantine(consistency_token=token))
    assert [item.reason for item in answer.items] == [scorer.QUARANTINE_REASON_POISON]


async def test_one_bad_fact_is_set_apart_and_the_good_ones_around_it_count(suite: Suite, bus: Bus) -> None:
    partition = partition_of("demo", "ada", bus.partitions)
    token = await put(bus, partition, batch(event("e1"), event("e\0bad"), event("e2")))
    lead = await suite.query.GetLead(query.GetLeadRequest(lead_id="ada", consistency_token=token))
    assert lead.score == 10


async def test_a_report_that_cannot_be_kept_holds_nothing_up(suite: Suite, bus: Bus) -> None:
    report = stream_pb2.FactBatch(received_at_us=1)
    report.import_report.import_id, report.import_report.file_name = "i1", "a\0b"
    await put(bus, partition_of("demo", "ada", bus.partitions), report.SerializeToString())
    answer = await suite.ingest.PublishEvent(ingest.PublishEventRequest(event=event("e1")))
    request = query.GetLeadRequest(lead_id="ada", consistency_token=answer.consistency_token)
    assert (await suite.query.GetLead(request)).score == 5
    items = (await suite.scorer.ListQuarantine(Quarantine())).items
    assert len(items) == 1


async def test_too_many_bad_facts_stop_the_process_and_stay_in_the_stream(
    suite: Suite, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "POISON_MAX", 2)
    for number in range(4):
        await put(bus, 3, b"\xff\xff" + bytes([number]))
    with pytest.raises(processor.TooMuchPoison):
        await suite.running["scorer"].process.stopped()
    assert (await bus.backlog(3, 0)).pending >= 1


@pytest.mark.parametrize("field", ["file_name", "reason"])
async def test_ingest_lets_no_control_characters_into_a_report(suite: Suite, field: str) -> None:
    request = ingest.ReportImportRequest(import_id="i1", report_number=1, reading=ingest.IMPORT_READING_RUNNING)
    setattr(request, field, "a\0b")
    with pytest.raises(Exception, match="control characters"):
        await suite.ingest.ReportImport(request)
