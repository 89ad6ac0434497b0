"""CSV and NDJSON."""

import csv
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from services.query.exports.sheets import Column, Sheet, Type

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A cell that begins so may be taken for a formula by a spreadsheet, and run."""
GUARD = "'"
"""Stands before such a cell; and before one that begins with it, so that it can be taken away again without a doubt."""

Rows = Sequence[Sequence[Any]]
Convert = Callable[[Any], Any]


class Encoder(Protocol):
    """Makes a file of rows. What it answers, put together, is the file."""

    def add(self, rows: Rows) -> bytes:
        """The next bytes, with these rows or some of them."""

    def finish(self) -> bytes:
        """The last bytes."""


class CsvEncoder:
    """CSV as in RFC 4180, in UTF-8, with a header. NULL is an empty cell: no column has both NULL and empty texts."""

    def __init__(self, sheet: Sheet) -> None:
        self._buffer = io.StringIO(newline="")
        self._writer = csv.writer(self._buffer)
        self._writer.writerow(sheet.names)
        self._converts = [_csv_convert(column) for column in sheet.columns]

    def add(self, rows: Rows) -> bytes:
        """The rows as lines."""
        converts = self._converts
        self._writer.writerows(
            [value if convert is None else convert(value) for convert, value in zip(converts, row, strict=True)]
            for row in rows
        )
        return self._drain()

    def finish(self) -> bytes:
        """The header, if there were no rows."""
        return self._drain()

    def _drain(self) -> bytes:
        written = self._buffer.getvalue().encode()
        self._buffer.seek(0)
        self._buffer.truncate()
        return written


class NdjsonEncoder:
    """One JSON object per line, with the names that REST has. What is NULL is left out."""

    def __init__(self, sheet: Sheet) -> None:
        self._encoder = msgspec.json.Encoder()
        self._columns = [(column.json_name, _json_convert(column)) for column in sheet.columns]

    def add(self, rows: Rows) -> bytes:
        """The rows as lines."""
        return self._encoder.encode_lines([self._object(row) for row in rows])

    def finish(self) -> bytes:
        """Nothing."""
        return b""

    def _object(self, row: Sequence[Any]) -> dict[str, Any]:
        return {
            name: value if convert is None else convert(value)
            for (name, convert), value in zip(self._columns, row, strict=True)
            if value is not None
        }


def guard(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return GUARD + text if text.startswith((GUARD, *FORMULA_STARTS)) else text


def to_rfc3339(moment: datetime) -> str:
    """A time in UTC, to the microsecond."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _csv_convert(column: Column) -> Convert | None:
    match column.type:
        case Type.TEXT:
            return guard
        case Type.TIME:
            return _time_or_nothing
        case Type.NAME:
            return column.name_of
    return None


def _time_or_nothing(moment: datetime | None) -> str:
    return "" if moment is None else to_rfc3339(moment)


def _json_convert(column: Column) -> Convert | None:
    converts: dict[Type, Convert] = {Type.TIME: to_rfc3339, Type.JSON: msgspec.Raw}
    return column.name_of if column.type is Type.NAME else converts.get(column.type)
