"""From blocks of bytes to events, with the rows that were refused."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from leadscore.event.v1.event_pb2 import Event

from intake.chunks import blocks
from intake.csv_rows import CsvRows
from intake.errors import FileRefused, RowRefused
from intake.events import ColumnEvents, ObjectEvents
from intake.formats import recognise_delimiter, recognise_format, refuse_binary, without_mark
from intake.identity import RowIds
from intake.json_rows import JsonRows, NdjsonRows
from intake.mapping import Mapping
from intake.rows import RejectedRow, RowReader, refuse_row


@dataclass(slots=True)
class Portion:
    """What was found in one block: events with the numbers of their rows, and refused rows."""

    events: list[Event] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    rejections: list[RejectedRow] = field(default_factory=list)


class EventReader:
    """Makes events of the bytes of one file, block by block."""

    def __init__(self, mapping: Mapping, file_name: str = "", content_type: str = "") -> None:
        self._mapping = mapping
        self._file_name = file_name
        self._content_type = content_type
        self._ids = RowIds()
        self._reader: RowReader[Any] | None = None
        self._events: ColumnEvents | ObjectEvents | None = None
        self._failure: FileRefused | None = None

    async def read(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[Portion]:
        """The events in `chunks`. Raises FileRefused when the file cannot be read, or not further."""
        async for block in blocks(chunks):
            yield self.feed(block)
            # Blocks may be there without waiting for anything; others want the event loop, too.
            await asyncio.sleep(0)
        yield self.finish()
        self._raise_failure()

    def feed(self, block: bytes) -> Portion:
        """What `block` completes. Raises FileRefused; if events came before the reason, then at the next call."""
        self._raise_failure()
        if self._reader is None:
            block = without_mark(block)
            self._reader = self._open(block)
        return self._collect(self._reader.feed(block))

    def finish(self) -> Portion:
        """What is left when the file is at its end. Raises as `feed` does."""
        self._raise_failure()
        if self._reader is None:
            raise FileRefused("the file is empty")
        portion = self._collect(self._reader.finish())
        if self._events is None:
            raise FileRefused("the file is empty")
        return portion

    def where(self, field: str) -> str:
        """For messages about an event's field: the column that it came from, if that has another name."""
        return self._events.where(field) if self._events is not None else ""

    def _open(self, head: bytes) -> RowReader[Any]:
        refuse_binary(head)
        format = self._mapping.format or recognise_format(head, self._file_name, self._content_type)
        if format == "csv":
            return CsvRows(self._mapping.delimiter or recognise_delimiter(head))
        self._events = ObjectEvents(self._mapping, self._ids)
        return JsonRows() if format == "json" else NdjsonRows()

    def _collect(self, found_rows: Iterator[Any]) -> Portion:
        portion = Portion()
        try:
            for found in found_rows:
                self._take(found, portion)
        except FileRefused as failure:
            if not portion.events and not portion.rejections:
                raise
            self._failure = failure
        return portion

    def _take(self, found: Any, portion: Portion) -> None:
        if isinstance(found, RejectedRow):
            if self._events is None:
                raise FileRefused(f"the header {found.description}")
            portion.rejections.append(found)
            return
        row, values = found
        if self._events is None:
            self._events = ColumnEvents(values, self._mapping, self._ids)
            return
        try:
            event = self._events.event(values)
        except RowRefused as refused:
            portion.rejections.append(refuse_row(row, refused.field, refused.description))
        else:
            portion.events.append(event)
            portion.rows.append(row)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
