"""An import brings every good row of a file to ingest, in order and once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

import grpc
import pytest
from leadscore.ingest.v1 import ingest_service_pb2 as contract

from intake import delivery, reporting
from intake.delivery import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, UNANSWERED_BATCHES_MAX
from intake.errors import FileRefused, ImportFailed, ReadingEnded
from intake.importing import Progress, run_import
from intake.mapping import build_mapping
from intake.outcome import ImportSummary
from intake.patience import DELAY_MAX_S, Patience
from intake.reporting import REJECTIONS_KEPT_MAX, REJECTIONS_PER_REPORT_MAX
from intake.rows import RejectedRow
from services.shared.errors import InvalidRequest, StreamFull, Unavailable
from services.shared.tokens import decode_positions
from tests.rpc.fake_ingest import FakeIngest, code_of, served, stub_of

if TYPE_CHECKING:
    from leadscore.ingest.v1.ingest_service_pb2_grpc import IngestServiceAsyncStub

ROWS = 5_000
HEADER = "event_id,lead_id,type\n"
FILE = (HEADER + "".join(f"e{number},l{number % 9},t\n" for number in range(ROWS))).encode()
IDS = [f"e{number}" for number in range(ROWS)]
AWAY = Unavailable("the stream is away")


class Waits:
    """A clock that moves when somebody waits."""

    def __init__(self) -> None:
        self.delays_s: list[float] = []

    def patience(self, patience_s: float = 300.0) -> Patience:
        return Patience(patience_s, now=lambda: sum(self.delays_s), sleep=self._wait)

    async def _wait(self, delay_s: float) -> None:
        self.delays_s.append(delay_s)


@pytest.fixture
def ingest() -> FakeIngest:
    return FakeIngest()


@pytest.fixture
async def stub(ingest: FakeIngest) -> AsyncIterator[IngestServiceAsyncStub]:
    async with served(ingest) as port, stub_of(port) as stub:
        yield stub


async def pieces(data: bytes, size: int = 8_192) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def ending(data: bytes, reason: str) -> AsyncIterator[bytes]:
    yield data
    raise ReadingEnded(reason)


def last(ingest: FakeIngest) -> contract.ReportImportRequest:
    return ingest.reports[-1]


def csv(rows: Iterable[str]) -> bytes:
    return (HEADER + "".join(f"{row}\n" for row in rows)).encode()


async def test_a_file_arrives_in_order_and_in_batches(ingest: FakeIngest, stub: IngestServiceAsyncStub) -> None:
    summary = await run_import(
        stub, pieces(FILE), import_id="i-1", file_name="a\0.csv", metadata=[("x-tenant-id", "t")]
    )
    assert list(ingest.events) == IDS
    assert [len(batch.events) for batch in ingest.batches] == [BATCH_EVENTS_MAX] * (ROWS // BATCH_EVENTS_MAX)
    assert {batch.import_id for batch in ingest.batches} == {"i-1"} and ingest.streams == 1
    assert all(metadata["x-tenant-id"] == "t" for metadata in ingest.metadata)
    positions = decode_positions(summary.consistency_token)
    assert summary == ImportSummary("i-1", ROWS, ROWS, 0, 0, summary.consistency_token)
    assert positions == {0: ROWS, 1: len(ingest.reports)}, "the token covers every batch and the last report"
    assert ingest.reports[0].reading == contract.IMPORT_READING_RUNNING
    assert (last(ingest).reading, last(ingest).rows_read) == (contract.IMPORT_READING_COMPLETE, ROWS)
    assert decode_positions(last(ingest).consistency_token) == {0: ROWS}
    assert last(ingest).file_name == "a\\x00.csv"
    numbers = [report.report_number for report in ingest.reports]
    assert numbers == sorted(set(numbers))


async def test_a_file_that_is_sent_again_changes_nothing(ingest: FakeIngest, stub: IngestServiceAsyncStub) -> None:
    without_ids = b"lead_id,type\n" + b"l,t\n" * 1_200
    first = await run_import(stub, pieces(without_ids), import_id="same")
    before = [report.report_number for report in ingest.reports]
    again = await run_import(stub, pieces(without_ids), import_id="same")
    assert (first.accepted, again.accepted, again.duplicates) == (1_200, 0, 1_200)
    assert min(report.report_number for report in ingest.reports[len(before) :]) > max(before), "it replaces the first"


async def test_refused_rows_are_told_by_row_and_reason(ingest: FakeIngest, stub: IngestServiceAsyncStub) -> None:
    told: list[RejectedRow] = []
    seen: list[Progress] = []
    data = b"id,user,what,when\n1,a,t,2022-01-01\n2,,t,\n3,b,t,soon\n4,c\n5,d,t,\n"
    mapping = build_mapping(columns={"event_id": "id", "lead_id": "user", "type": "what", "occurred_at": "when"})
    summary = await run_import(stub, pieces(data), mapping=mapping, rejected=told.append, progress=seen.append)
    assert list(ingest.events) == ["1", "5"]
    assert (summary.rows_read, summary.accepted, summary.rejected) == (5, 2, 3)
    assert sorted((each.row, each.field) for each in told) == [(3, "lead_id"), (4, "occurred_at"), (5, "")]
    assert next(each for each in told if each.row == 3).description == "must not be empty (column 'user')"
    reported = [(each.row, each.field) for report in ingest.reports for each in report.rejections]
    assert sorted(reported) == sorted((each.row, each.field) for each in told)
    assert last(ingest).rows_rejected == 3
    assert seen[-1] == Progress(len(data), 5, 2, 0, 3)


@pytest.mark.parametrize("kept", [False, True], ids=["refused", "kept but not answered"])
@pytest.mark.parametrize("error", [AWAY, StreamFull("the stream is full")], ids=["away", "full"])
async def test_a_broken_stream_is_taken_up_where_it_broke(
    ingest: FakeIngest, stub: IngestServiceAsyncStub, kept: bool, error: Unavailable
) -> None:
    (ingest.fail_after if kept else ingest.fail_before).update({3: error, 6: error, 7: error})
    waits = Waits()
    data = b"lead_id,type\n" + b"".join(b"l%d,t\n" % number for number in range(ROWS))
    summary = await run_import(stub, pieces(data), patience=waits.patience())
    assert [event.lead_id for event in ingest.events.values()] == [f"l{number}" for number in range(ROWS)]
    assert summary.accepted + summary.duplicates == summary.rows_read == ROWS
    assert ingest.streams == 4 and len(waits.delays_s) == 3
    assert error.retry_after_s <= waits.delays_s[2] <= DELAY_MAX_S, "the service is left alone for as long as it asks"
    sent = [event.event_id for batch in ingest.batches for event in batch.events]
    assert len(sent) > len(set(sent)) == ROWS, "what was not answered was sent again, under the same ids"


async def test_a_stream_that_ends_too_early_is_a_broken_one(ingest: FakeIngest, stub: IngestServiceAsyncStub) -> None:
    ingest.end_before = {4}
    await run_import(stub, pieces(FILE), patience=Waits().patience())
    assert list(ingest.events) == IDS


async def test_a_stream_that_falls_silent_is_a_broken_one(
    ingest: FakeIngest, stub: IngestServiceAsyncStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ANSWER_TIMEOUT_S", 0.2)
    ingest.silent = {2}
    await run_import(stub, pieces(FILE), patience=Waits().patience())
    assert list(ingest.events) == IDS and ingest.streams == 2


async def test_an_import_outlives_a_restart_of_ingest(ingest: FakeIngest) -> None:
    ingest.going_on.clear()
    async with contextlib.AsyncExitStack() as servers:
        port = await servers.enter_async_context(served(ingest))
        async with stub_of(port) as stub:
            running = asyncio.create_task(run_import(stub, pieces(FILE), patience=Patience(60)))
            await asyncio.wait_for(ingest.reached.wait(), 10)
            await servers.aclose()
            ingest.going_on.set()
            async with served(ingest, port):
                summary = await running
    assert list(ingest.events) == IDS
    assert summary.rows_read == ROWS and ingest.streams >= 2


async def test_patience_has_an_end_and_what_was_answered_is_kept(
    ingest: FakeIngest, stub: IngestServiceAsyncStub
) -> None:
    ingest.fail_before = dict.fromkeys(range(3, 1_000), AWAY)
    waits = Waits()
    with pytest.raises(ImportFailed, match="the stream is away") as failed:
        await run_import(stub, pieces(FILE), patience=waits.patience(300))
    assert code_of(failed.value.__cause__) == grpc.StatusCode.UNAVAILABLE
    assert 300 <= sum(waits.delays_s) < 320
    assert failed.value.summary.accepted == len(ingest.events) == 1_000
    assert last(ingest).reading == contract.IMPORT_READING_FAILED and "the stream is away" in last(ingest).reason


async def test_progress_renews_patience(ingest: FakeIngest, stub: IngestServiceAsyncStub) -> None:
    ingest.fail_before = {number: AWAY for number in range(1, 100) if number % 6}
    waits = Waits()
    await run_import(stub, pieces(FILE), patience=waits.patience(15))
    assert list(ingest.events) == IDS and sum(waits.delays_s) > 15


async def test_a_refusal_that_no_waiting_mends_ends_the_import(
    ingest: FakeIngest, stub: IngestServiceAsyncStub
) -> None:
    ingest.fail_before = dict.fromkeys(range(2, 100), InvalidRequest([]))
    waits = Waits()
    with pytest.raises(ImportFailed) as failed:
        await run_import(stub, pieces(FILE), patience=waits.patience())
    assert code_of(failed.value.__cause__) == grpc.StatusCode.INVALID_ARGUMENT
    assert len(waits.delays_s) <= 1, "at most one attempt more, if the reason was not to be seen at first"
    assert last(ingest).reading == contract.IMPORT_READING_FAILED


async def test_who_may_not_import_is_told_before_anything_is_read(
    ingest: FakeIngest, stub: IngestServiceAsyncStub
) -> None:
    ingest.key = "secret"

    async def never() -> AsyncIterator[bytes]:
        pytest.fail("the file is read")
        yield b""

    with pytest.raises(ImportFailed) as failed:
        await run_import(stub, never(), metadata=[("authorization", "Bearer wrong")])
    assert code_of(failed.value.__cause__) == grpc.StatusCode.UNAUTHENTICATED
    assert (ingest.reports, ingest.batches) == ([], [])
    await run_import(stub, pieces(FILE), metadata=[("authorization", "Bearer secret")])
    assert list(ingest.events) == IDS


@pytest.mark.parametrize(
    ("data", "word"), [(b"", "empty"), (b"user,type\n1,t\n", "'lead_id'"), (b"\x00\x01\x02", "binary")]
)
async def test_a_file_that_cannot_be_read_sends_nothing(
    ingest: FakeIngest, stub: IngestServiceAsyncStub, data: bytes, word: str
) -> None:
    with pytest.raises(ImportFailed) as failed:
        await run_import(stub, pieces(data))
    assert isinstance(failed.value.__cause__, FileRefused) and word in failed.value.reason
    assert ingest.batches == []
    assert last(ingest).reading == contract.IMPORT_READING_FAILED and word in last(ingest).reason


async def test_what_was_read_before_the_bytes_stopped_is_kept(ingest: FakeIngest, stub: IngestServiceAsyncStub) -> None:
    with pytest.raises(ImportFailed) as failed:
        await run_import(stub, ending(FILE[:50_000], "the connection was closed"))
    complete = FILE[:50_000].count(b"\n") - 1
    assert list(ingest.events) == IDS[:complete], "and the row that was cut is no row"
    assert failed.value.summary.accepted == complete == last(ingest).rows_read
    assert last(ingest).reading == contract.IMPORT_READING_FAILED
    assert last(ingest).reason == "the connection was closed"
    assert decode_positions(last(ingest).consistency_token) == {0: complete}


async def test_an_import_that_is_interrupted_is_reported_as_failed(
    ingest: FakeIngest, stub: IngestServiceAsyncStub
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield FILE
        await asyncio.Event().wait()

    running = asyncio.create_task(run_import(stub, endless()))
    await asyncio.wait_for(ingest.reported.wait(), 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (last(ingest).reading, last(ingest).reason) == (contract.IMPORT_READING_FAILED, "interrupted")


async def test_all_refused_rows_are_counted_and_the_first_are_kept(
    ingest: FakeIngest, stub: IngestServiceAsyncStub
) -> None:
    told: list[RejectedRow] = []
    rows = REJECTIONS_KEPT_MAX + 2_500
    data = csv(f"e{number},{'' if number % 2 else 'l,t,'},t" for number in range(rows))
    summary = await run_import(stub, pieces(data), rejected=told.append)
    assert (summary.rows_read, summary.rejected, len(told)) == (rows, rows, rows)
    reported = [len(report.rejections) for report in ingest.reports]
    assert sum(reported) == REJECTIONS_KEPT_MAX and max(reported) <= REJECTIONS_PER_REPORT_MAX
    assert last(ingest).rows_rejected == rows


async def test_refused_rows_of_a_report_that_got_lost_come_with_the_next(
    ingest: FakeIngest, stub: IngestServiceAsyncStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "REPORT_INTERVAL_S", 0.0)
    data = csv(f"e{number},,t" if number % 100 == 0 else f"e{number},l,t" for number in range(20_000))
    running = asyncio.create_task(run_import(stub, pieces(data)))
    await asyncio.wait_for(ingest.reported.wait(), 10)
    ingest.report_failures = [AWAY, AWAY]
    await running
    assert ingest.report_failures == []
    reported = sorted(each.row for report in ingest.reports for each in report.rejections)
    assert reported == [number + 2 for number in range(20_000) if number % 100 == 0]


async def test_reading_waits_for_ingest(ingest: FakeIngest, stub: IngestServiceAsyncStub) -> None:
    ingest.going_on.clear()
    seen: list[Progress] = []
    data = csv(f"e{number},l,t,{'x' * 900}" for number in range(20_000)).replace(b"type\n", b"type,note\n")
    running = asyncio.create_task(run_import(stub, pieces(data), progress=seen.append))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), 1)
    bytes_held_max = (UNANSWERED_BATCHES_MAX + 1) * BATCH_EVENTS_MAX * 1_000
    assert seen[-1].bytes_read < 2 * bytes_held_max < len(data), "the file is read although nothing is answered"
    ingest.going_on.set()
    assert (await running).accepted == 20_000


async def test_large_rows_travel_in_smaller_batches(ingest: FakeIngest, stub: IngestServiceAsyncStub) -> None:
    data = b"event_id,lead_id,type,note\n" + b"".join(b"e%d,l,t,%s\n" % (each, b"x" * 60_000) for each in range(300))
    await run_import(stub, pieces(data, 1 << 20))
    assert len(ingest.events) == 300
    assert max(batch.ByteSize() for batch in ingest.batches) < BATCH_BYTES_MAX + 65_536


async def test_many_long_answers_do_not_bring_both_sides_to_a_stop(
    ingest: FakeIngest, stub: IngestServiceAsyncStub
) -> None:
    data = csv(f"e{number},,{'t' * 900}" for number in range(30_000))
    summary = await run_import(stub, pieces(data, 1 << 20))
    assert summary.rejected == 30_000
