"""Apache Parquet, row group by row group."""

import io
from typing import Any

import pyarrow
from pyarrow import parquet

from services.query.exports.sheets import Column, Sheet, Type
from services.query.exports.text import Rows

GROUP_ROWS_MAX = 65_536
GROUP_BYTES_MAX = 8 * 1024 * 1024
"""A row group is held until it is whole: larger ones are read faster, smaller ones need less memory here, which is
some six times their size."""

TYPES = {
    Type.TEXT: pyarrow.string(),
    Type.WHOLE: pyarrow.int32(),
    Type.LONG: pyarrow.int64(),
    Type.TIME: pyarrow.timestamp("us", tz="UTC"),
    Type.NAME: pyarrow.string(),
    Type.JSON: pyarrow.string(),
}
NULLABLE = (Type.TIME, Type.JSON)


class ParquetEncoder:
    """Typed columns, in row groups of bounded size, compressed."""

    def __init__(self, sheet: Sheet) -> None:
        self._columns = sheet.columns
        self._sink = _Sink()
        self._schema = pyarrow.schema(
            [pyarrow.field(each.name, TYPES[each.type], nullable=each.type in NULLABLE) for each in sheet.columns]
        )
        self._writer = parquet.ParquetWriter(
            self._sink, self._schema, compression="snappy", use_dictionary=["type", "source"]
        )
        self._group: list[Any] = []
        self._rows = self._bytes = 0

    def add(self, rows: Rows) -> bytes:
        """Holds the rows; the bytes of a row group, if it is whole now."""
        if not rows:
            return b""
        arrays = [_array(column, values) for column, values in zip(self._columns, zip(*rows, strict=True), strict=True)]
        batch = pyarrow.record_batch(arrays, schema=self._schema)
        self._group.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        return self._write_group() if self._rows >= GROUP_ROWS_MAX or self._bytes >= GROUP_BYTES_MAX else b""

    def finish(self) -> bytes:
        """The last row group, and where everything is."""
        last = self._write_group() if self._group else b""
        self._writer.close()
        return last + self._sink.drain()

    def _write_group(self) -> bytes:
        group = pyarrow.Table.from_batches(self._group)
        self._group.clear()
        self._rows = self._bytes = 0
        self._writer.write_table(group, row_group_size=GROUP_ROWS_MAX * 2)
        return self._sink.drain()


class _Sink(io.RawIOBase):
    """Takes what the writer writes, until it is drained."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(self._written[-1])

    def drain(self) -> bytes:
        written = b"".join(self._written)
        self._written.clear()
        return written


def _array(column: Column, values: tuple[Any, ...]) -> Any:
    if column.type is Type.NAME:
        return pyarrow.array(map(column.name_of, values), TYPES[column.type])
    return pyarrow.array(values, TYPES[column.type])
