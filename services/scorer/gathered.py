"""What a batch writes, gathered while it is worked out.

Many rows of a table are encoded at once as COPY takes them: so they take a fifth of the memory while they wait for the
commit of the batch before, and when their turn comes there is nothing left to do but to send them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg.abc import Buffer

from services.scorer.statements import Bulk, Target

ROWS_AT_ONCE_MAX = 300
"""Up to here the ways to the server and back cost more than the slower way in."""

Row = Sequence[Any]


class CopyData:
    """Rows of a table as COPY takes them."""

    def __init__(self, table: Target, connection: psycopg.AsyncConnection[Any], rows: Iterable[Row]) -> None:
        """Encodes as the `connection` would; nothing goes over it. Raises as `add` does."""
        copy = psycopg.AsyncCopy(connection.cursor(), binary=True)
        copy.set_types(table.wire_types)
        self._formatter = copy.formatter
        self._blocks: list[Buffer] = []
        self._number = 0
        self.add(rows)

    def __len__(self) -> int:
        """How many rows there are."""
        return self._number

    def add(self, rows: Iterable[Row]) -> None:
        """Encodes rows. Raises what the driver raises for values that are none of their columns' types."""
        for row in rows:
            self._number += 1
            if block := self._formatter.write_row(row):
                self._blocks.append(block)

    def blocks(self) -> Iterator[Buffer]:
        """All of it, once: what has been asked for is let go of."""
        self._blocks.append(self._formatter.end())
        self._blocks.reverse()
        while self._blocks:
            yield self._blocks.pop()


Part = tuple[Bulk, Sequence[Row] | CopyData]
"""A statement with its rows, in either form."""
Parts = Sequence[Part]


def in_rows(found: Sequence[Row] | CopyData) -> Sequence[Row]:
    """Rows that cannot have been encoded: there are few, or they go to no table as they are."""
    assert not isinstance(found, CopyData)
    return found


class Gathered:
    """Statements with their rows, in the order in which they came."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._rows: dict[Bulk, list[Row] | CopyData] = {}

    @property
    def parts(self) -> Parts:
        """All of them."""
        return list(self._rows.items())

    def add(self, part: Bulk, rows: Sequence[Row]) -> None:
        """Adds rows to those of a statement."""
        found = self._rows.setdefault(part, [])
        if isinstance(found, CopyData):
            found.add(rows)
            return
        found += rows
        if isinstance(part, Target) and len(found) > ROWS_AT_ONCE_MAX:
            self._rows[part] = CopyData(part, self._connection, found)
