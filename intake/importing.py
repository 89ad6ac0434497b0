"""One import from its first byte to its last report: rows, batches, answers, progress."""

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc import aio
from leadscore.ingest.v1 import ingest_service_pb2 as contract

from intake.chunks import Meter
from intake.delivery import Batch, Delivery, Metadata
from intake.errors import ImportFailed, IntakeError
from intake.mapping import Mapping
from intake.outcome import ImportSummary
from intake.patience import Patience
from intake.reading import EventReader, Portion
from intake.reporting import Reporter, Standing
from intake.rows import RejectedRow, refuse_row
from services.shared.tokens import decode_positions, encode_positions, merge_positions

if TYPE_CHECKING:
    from leadscore.ingest.v1.ingest_service_pb2_grpc import IngestServiceAsyncStub

IMPORT_ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""As the contract has it; an id is tried with `fullmatch`."""
START_PATIENCE_S = 10.0
"""How long a service may be away when an import begins: long enough for a restart, short for someone who waits."""
PATIENCE_S = 300.0
"""How long it may be away in the middle, without a single answer."""
FAILURE_REPORT_TIMEOUT_S = 5.0
"""For the last word of an import that fails; whoever waits is to hear of it soon."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import has got. `bytes_read` is of the file as it is, compressed or not."""

    bytes_read: int
    rows_read: int
    accepted: int
    duplicates: int
    rejected: int


def new_import_id() -> str:
    """An id for an import that nobody has named."""
    return uuid.uuid4().hex


def ignore(_: object) -> None:
    """For callers who do not want to hear."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to import: its bytes in any portions, and how they are to be read. Name and content type help to recognise
    its format.
    """

    chunks: AsyncIterator[bytes]
    mapping: Mapping = Mapping()
    name: str = ""
    content_type: str = ""


async def run_import(
    stub: "IngestServiceAsyncStub",
    chunks: AsyncIterator[bytes],
    *,
    mapping: Mapping | None = None,
    file_name: str = "",
    content_type: str = "",
    import_id: str = "",
    metadata: Metadata = (),
    progress: Callable[[Progress], None] = ignore,
    rejected: Callable[[RejectedRow], None] = ignore,
    patience: Patience | None = None,
) -> ImportSummary:
    """Reads a file from `chunks` and sends its events to ingest: `import_file` for a file that is at hand."""
    file = SourceFile(chunks, mapping or Mapping(), file_name, content_type)

    async def open_file() -> SourceFile:
        return file

    return await import_file(
        stub,
        open_file,
        import_id=import_id,
        metadata=metadata,
        progress=progress,
        rejected=rejected,
        patience=patience,
    )


async def import_file(
    stub: "IngestServiceAsyncStub",
    open_file: Callable[[], Awaitable[SourceFile]],
    *,
    import_id: str = "",
    metadata: Metadata = (),
    progress: Callable[[Progress], None] = ignore,
    rejected: Callable[[RejectedRow], None] = ignore,
    patience: Patience | None = None,
) -> ImportSummary:
    """Reads the file that `open_file` answers and sends its events to ingest.

    `metadata` says who is asking (authorization, x-tenant-id). `progress` is called whenever something was read or
    answered, `rejected` for each refused row and reason. The file is not opened before ingest has answered that the
    caller may import. Reading waits for ingest, so never more than a few batches are held.

    Every event has an id before it is sent: a file can be sent again at any time, whole or in part, without changing a
    score; and when the service goes away in the middle, sending goes on where it was when it is back.

    Raises ImportFailed for a file that cannot be read, for an IntakeError that `open_file` or the chunks raise, and for
    a service that refuses or stays away; unless the service refused from the start it is then reported as failed, and
    what was read before is kept. Cancelled, it reports the import as failed, too.
    """
    import_id = import_id or new_import_id()
    run = _Import(import_id, Reporter(stub, import_id, metadata), progress, rejected)
    delivery = Delivery(stub, import_id, metadata, patience or Patience(PATIENCE_S), run.take_answer)
    return await run.run(open_file, delivery)


class _Import:
    """The state of one run."""

    def __init__(
        self,
        import_id: str,
        reporter: Reporter,
        progress: Callable[[Progress], None],
        rejected: Callable[[RejectedRow], None],
    ) -> None:
        self._import_id = import_id
        self._reporter = reporter
        self._progress = progress
        self._rejected_row = rejected
        self._where: Callable[[str], str] = lambda field: ""
        self._batch = Batch()
        self._bytes_read = self._rows_read = 0
        self._accepted = self._duplicates = self._rejected = 0
        self._positions: dict[int, int] = {}

    async def run(self, open_file: Callable[[], Awaitable[SourceFile]], delivery: Delivery) -> ImportSummary:
        try:
            await self._begin()
            await self._read(await open_file(), delivery)
            self._cover(
                await self._reporter.end(contract.IMPORT_READING_COMPLETE, self._standing(), Patience(PATIENCE_S))
            )
            return self._summary()
        except ImportFailed:
            raise
        except (Exception, asyncio.CancelledError) as error:
            await self._report_failed(_reason(error))
            if isinstance(error, (IntakeError, aio.AioRpcError)):
                raise ImportFailed(_reason(error), self._summary()) from error
            raise
        finally:
            delivery.close()

    async def _begin(self) -> None:
        try:
            await self._reporter.begin(Patience(START_PATIENCE_S))
        except aio.AioRpcError as error:
            # Whoever may not report or is not heard need not report that either.
            raise ImportFailed(_reason(error), self._summary()) from error

    async def _read(self, file: SourceFile, delivery: Delivery) -> None:
        """Reads and delivers everything; what came before a failure of the file is delivered, too."""
        reader, meter = EventReader(file.mapping, file.name, file.content_type), Meter(file.chunks)
        self._where = reader.where
        self._reporter.name_file(file.name)
        try:
            async with contextlib.aclosing(reader.read(meter)) as portions:
                async for portion in portions:
                    self._bytes_read = meter.bytes_read
                    await self._take(portion, delivery)
        except IntakeError:
            await self._deliver_rest(delivery)
            raise
        await self._deliver_rest(delivery)

    async def _take(self, portion: Portion, delivery: Delivery) -> None:
        self._rows_read += len(portion.rows) + len(portion.rejections)
        self._rejected += len(portion.rejections)
        for rejection in portion.rejections:
            self._tell_rejected(rejection)
        for event, row in zip(portion.events, portion.rows, strict=True):
            self._batch.add(event, row)
            if self._batch.full:
                await self._deliver(delivery)
        self._tell_progress()
        await self._reporter.keep_up(self._standing())

    async def _deliver(self, delivery: Delivery) -> None:
        batch, self._batch = self._batch, Batch()
        await delivery.send(batch)

    async def _deliver_rest(self, delivery: Delivery) -> None:
        if self._batch.events:
            await self._deliver(delivery)
        await delivery.finish()

    def take_answer(self, batch: Batch, answer: contract.StreamEventsResponse) -> None:
        """Counts what became of a batch."""
        self._accepted += answer.accepted
        self._duplicates += answer.duplicates
        self._rejected += len(answer.rejections)
        for rejection in answer.rejections:
            for violation in rejection.violations:
                description = violation.description + self._where(violation.field)
                self._tell_rejected(refuse_row(batch.rows[rejection.index], violation.field, description))
        self._cover(answer.consistency_token)
        self._tell_progress()

    def _tell_rejected(self, rejection: RejectedRow) -> None:
        self._reporter.add(rejection)
        self._rejected_row(rejection)

    def _tell_progress(self) -> None:
        self._progress(Progress(self._bytes_read, self._rows_read, self._accepted, self._duplicates, self._rejected))

    def _cover(self, token: str) -> None:
        if token:
            self._positions = merge_positions((self._positions, decode_positions(token)))

    def _standing(self) -> Standing:
        return Standing(self._rows_read, self._rejected, encode_positions(self._positions))

    async def _report_failed(self, reason: str) -> None:
        """As far as it is possible: whoever waits for the import learns that nothing more will come."""
        with contextlib.suppress(aio.AioRpcError, TimeoutError):
            async with asyncio.timeout(FAILURE_REPORT_TIMEOUT_S):
                self._cover(
                    await self._reporter.end(
                        contract.IMPORT_READING_FAILED, self._standing(), Patience(FAILURE_REPORT_TIMEOUT_S), reason
                    )
                )

    def _summary(self) -> ImportSummary:
        return ImportSummary(
            self._import_id,
            self._rows_read,
            self._accepted,
            self._duplicates,
            self._rejected,
            encode_positions(self._positions),
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, IntakeError):
        return error.reason
    if isinstance(error, aio.AioRpcError):
        return f"ingest: {error.details()} ({error.code().name})"
    return "interrupted" if isinstance(error, asyncio.CancelledError) else "internal error"
