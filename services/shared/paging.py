"""Pages of lists, wherever they are read: bounded by a number of items and by bytes, whichever is reached first."""

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection

PAGE_BYTES_MAX = 3 * 1024 * 1024
"""Of the items of an answer: gRPC clients take no message of more than 4 MiB unless they are told to. One item may be
larger, and then is a page by itself.
"""
ROWS_AHEAD_MAX = 200
"""Read at a time: most pages are read at once, and of large rows, of 32 KiB, at most 6 MiB are read for one page."""

Item = TypeVar("Item", bound=Message)


class Filling(Generic[Item]):
    """A page while it is filled, with the rows of one query or of several, one behind the other."""

    def __init__(self, size: int, item_of: Callable[[Any], Item], bytes_max: int | None = None) -> None:
        """At most `size` items, and of `bytes_max` together; None stands for PAGE_BYTES_MAX."""
        self._size = size
        self._item_of = item_of
        self._bytes_left = PAGE_BYTES_MAX if bytes_max is None else bytes_max
        self.items: list[Item] = []
        self.last: Any = None
        """The row of the last item."""
        self.is_full = False
        """Whether a row came that had no room any more: the next page begins behind `last`."""

    @property
    def bytes_left(self) -> int:
        """How many bytes there is room for."""
        return max(0, self._bytes_left)

    @property
    def rows_wanted(self) -> int:
        """As many as there is room for, and one by which it is known whether there are more."""
        return self._size - len(self.items) + 1

    async def take(self, connection: AsyncConnection, query: Select[Any]) -> None:
        """Takes the rows of a query in their order, and reads it not much further than the page has room."""
        limited = query.limit(self.rows_wanted)
        if self.rows_wanted <= ROWS_AHEAD_MAX:
            self.add((await connection.execute(limited)).all())
            return
        # By a cursor: three more ways to the database and back, but what has no room stays there.
        async with connection.stream(limited.execution_options(yield_per=ROWS_AHEAD_MAX)) as rows:
            async for some in rows.partitions():
                self.add(some)
                if self.is_full:
                    return

    def add(self, rows: Iterable[Any]) -> None:
        """Takes rows in their order, until one has no room."""
        self.is_full = not all(map(self._add, rows))

    def _add(self, row: Any) -> bool:
        if len(self.items) == self._size:
            return False
        item = self._item_of(row)
        self._bytes_left -= item.ByteSize()
        if self.items and self._bytes_left < 0:
            return False
        self.items.append(item)
        self.last = row
        return True
