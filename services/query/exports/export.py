"""One export: from the request to the pieces of the file.

    reading (a task: snapshot -> slice -> encoder) --handover--> the call --gRPC flow control--> whoever takes the file

The reading holds a connection and a snapshot, which keeps the database from cleaning up; so it has an end: an hour, or
a minute in which nothing was taken. The call itself holds nothing but the pieces that wait for it.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from leadscore.query.v1 import export_pb2 as contract
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.query.exports.encoders import encoder_of
from services.query.exports.handover import Handover
from services.query.exports.report import write_report
from services.query.exports.requests import scope_of
from services.query.exports.sheets import SHEETS, Sheet
from services.query.exports.slices import Scope, count_rows, read_slices
from services.query.leads import find_lead
from services.query.reading import snapshot
from services.query.statements import driver_of
from services.shared.errors import TimedOut, TooMany

EXPORTS_MAX = 3
"""At the same time in one process: each has a connection of those that all reads share."""
EXPORT_S_MAX = 3_600.0
"""How long one may take, and hold its snapshot."""
STALL_S_MAX = 60.0
"""How long one may wait for somebody to take the next piece."""
ALIVE_INTERVAL_S = 2.0
"""How often a transaction that waits says that it is alive; the database ends one that is silent for five seconds."""
SILENCE_S_MAX = 10.0
"""An answer comes this often, so that all on the way know that there is work even where a filter lets little pass."""
PIECE_BYTES = 128 * 1024
"""A piece has at least as many bytes, but for the last one, and at most twice as many."""
PIECES_AHEAD_MAX = 4


class Exports:
    """The exports of this process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._running = 0

    @property
    def running(self) -> int:
        """How many hold a connection."""
        return self._running

    async def export(
        self, tenant_id: str, request: contract.ExportRequest
    ) -> AsyncGenerator[contract.ExportResponse, None]:
        """The answers. Raises InvalidRequest, NotFound, TooMany, TimedOut, Unavailable."""
        scope = scope_of(tenant_id, request)
        if self._running >= EXPORTS_MAX:
            raise TooMany(f"{EXPORTS_MAX} exports are made at the moment; try again when one of them is done")
        self._running += 1
        reading = Reading(self._engine, request, scope)
        task = asyncio.create_task(reading.run())
        task.add_done_callback(self._ended)
        try:
            while (piece := await reading.handover.take(SILENCE_S_MAX)) is not None:
                yield contract.ExportResponse(data=piece, rows=reading.rows, rows_total=reading.rows_total)
        finally:
            task.cancel()
            await asyncio.wait((task,))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running -= 1


class Reading:
    """Reads and encodes what was asked for, ahead of the call that hands it on."""

    def __init__(self, engine: AsyncEngine, request: contract.ExportRequest, scope: Scope) -> None:
        self.handover = Handover(PIECES_AHEAD_MAX)
        self.rows = 0
        self.rows_total = 0
        self._engine = engine
        self._request = request
        self._scope = scope
        self._pending = bytearray()

    async def run(self) -> None:
        """Puts the file into the handover, piece by piece, and its end or the error behind it."""
        try:
            async with asyncio.timeout(EXPORT_S_MAX), snapshot(self._engine) as connection:
                await self._read(connection)
                await self._put(connection, bytes(self._pending))
            self.handover.end()
        except TimeoutError:
            self.handover.end(TimedOut(f"the export took longer than {EXPORT_S_MAX:.0f} s"))
        except Exception as error:
            self.handover.end(error)

    async def _read(self, connection: AsyncConnection) -> None:
        request, scope = self._request, self._scope
        if request.kind == contract.EXPORT_KIND_REPORT:
            report = await write_report(connection, scope.tenant_id)
            self.rows = self.rows_total = report.rows
            self._pending += report.pdf
            return
        if scope.lead_id:
            await find_lead(driver_of(connection), scope.tenant_id, scope.lead_id)
        await self._read_sheet(connection, SHEETS[request.kind])

    async def _read_sheet(self, connection: AsyncConnection, sheet: Sheet) -> None:
        self.rows_total = await count_rows(connection, sheet, self._scope)
        # In threads: what else this process does, such as telling watchers, does not wait for a slice to be encoded.
        encoder = await asyncio.to_thread(encoder_of, self._request.format, sheet)
        async with aclosing(read_slices(connection, sheet, self._scope)) as found:
            async for rows in found:
                self._pending += await asyncio.to_thread(encoder.add, rows)
                self.rows += len(rows)
                await self._put_whole_pieces(connection)
        self._pending += await asyncio.to_thread(encoder.finish)
        await self._put_whole_pieces(connection)

    async def _put_whole_pieces(self, connection: AsyncConnection) -> None:
        while len(self._pending) >= 2 * PIECE_BYTES:
            piece = bytes(self._pending[:PIECE_BYTES])
            del self._pending[:PIECE_BYTES]
            await self._put(connection, piece)

    async def _put(self, connection: AsyncConnection, piece: bytes) -> None:
        """Waits until there is room for a piece. Raises TimedOut if nobody takes one for too long."""
        waited_s = 0.0
        while not await self.handover.put(piece, ALIVE_INTERVAL_S):
            waited_s += ALIVE_INTERVAL_S
            if waited_s >= STALL_S_MAX:
                raise TimedOut(f"nothing of the export was taken for {STALL_S_MAX:.0f} s")
            await connection.execute(text("SELECT 1"))
