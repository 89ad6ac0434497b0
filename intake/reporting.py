"""Tells the suite how an import is doing, so that anybody can ask for it while it runs and afterwards."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc import aio
from leadscore.ingest.v1 import ingest_service_pb2 as contract

from intake.delivery import Metadata
from intake.patience import TRANSIENT, Patience
from intake.rows import RejectedRow, printable

if TYPE_CHECKING:
    from leadscore.ingest.v1.ingest_service_pb2_grpc import IngestServiceAsyncStub

REPORT_INTERVAL_S = 1.0
REPORT_TIMEOUT_S = 10.0
REJECTIONS_PER_REPORT_MAX = 1_000
"""As the contract has it."""
REJECTIONS_KEPT_MAX = 10_000
"""Of one import; all are counted. Who gets so many has one mistake to mend, not ten thousand."""
FILE_NAME_CHARACTERS_MAX = 200
REASON_CHARACTERS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Standing:
    """What a report says: rows read and refused so far, and the token that covers every batch that was answered."""

    rows_read: int
    rows_rejected: int
    consistency_token: str


class Reporter:
    """Sends the reports of one import.

    Every report has a higher number than any before it, also than those of an earlier run under the same import id,
    which this run replaces: numbers begin at the milliseconds of the clock.
    """

    def __init__(
        self,
        stub: "IngestServiceAsyncStub",
        import_id: str,
        metadata: Metadata,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stub = stub
        self._import_id = import_id
        self._file_name = ""
        self._metadata = metadata
        self._now = now
        self._number = time.time_ns() // 1_000_000
        self._reported_at = now()
        self._kept = 0
        self._pending: list[RejectedRow] = []

    def name_file(self, file_name: str) -> None:
        """The file's name, for people; for the reports from now on."""
        self._file_name = printable(file_name, FILE_NAME_CHARACTERS_MAX)

    def add(self, rejection: RejectedRow) -> None:
        """Keeps a refused row for the next report, within the bound."""
        if self._kept < REJECTIONS_KEPT_MAX:
            self._kept += 1
            self._pending.append(rejection)

    async def begin(self, patience: Patience) -> None:
        """Reports that the import runs. Raises AioRpcError if the caller may not import, or nobody is there."""
        await self._send(self._next(contract.IMPORT_READING_RUNNING, Standing(0, 0, "")), patience)

    async def keep_up(self, standing: Standing) -> None:
        """Reports if it is time. A report that does not arrive is no harm: the next one says it all again."""
        due = self._now() - self._reported_at >= REPORT_INTERVAL_S
        if not due and len(self._pending) < REJECTIONS_PER_REPORT_MAX:
            return
        self._reported_at = self._now()
        try:
            await self._send(self._next(contract.IMPORT_READING_RUNNING, standing), Patience(0))
        except aio.AioRpcError as error:
            if error.code() not in TRANSIENT:
                raise

    async def end(
        self, reading: "contract.ImportReading.ValueType", standing: Standing, patience: Patience, reason: str = ""
    ) -> str:
        """Reports how the import ended, after all refused rows that are kept. Answers the token that covers the report.
        Raises AioRpcError if it cannot be sent.
        """
        while len(self._pending) > REJECTIONS_PER_REPORT_MAX:
            await self._send(self._next(contract.IMPORT_READING_RUNNING, standing), patience)
        report = self._next(reading, standing)
        report.reason = printable(reason, REASON_CHARACTERS_MAX)
        return await self._send(report, patience)

    def _next(self, reading: "contract.ImportReading.ValueType", standing: Standing) -> contract.ReportImportRequest:
        """A report with a number of its own: another one under the same number would be taken for a repeat."""
        self._number += 1
        return contract.ReportImportRequest(
            import_id=self._import_id,
            report_number=self._number,
            reading=reading,
            file_name=self._file_name,
            rows_read=standing.rows_read,
            rows_rejected=standing.rows_rejected,
            rejections=[
                contract.RowRejection(row=row, field=field, description=description)
                for row, field, description in self._pending[:REJECTIONS_PER_REPORT_MAX]
            ],
            consistency_token=standing.consistency_token,
        )

    async def _send(self, report: contract.ReportImportRequest, patience: Patience) -> str:
        while True:
            try:
                answer = await self._stub.ReportImport(
                    report, timeout=REPORT_TIMEOUT_S, metadata=aio.Metadata(*self._metadata)
                )
            except aio.AioRpcError as error:
                await patience.wait(error)
            else:
                patience.progressed()
                del self._pending[: len(report.rejections)]
                return str(answer.consistency_token)
