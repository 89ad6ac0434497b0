"""Pages by key: each begins where the one before ended, and looks at a bounded number of rows, in an index's order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Subquery, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.shared.paging import Filling

ROWS_MAX = 20_000
"""Looked at for one page, when not all of them are shown."""
ROW_COMPARISONS_MAX = 100_000
"""For one page, of all the rows looked at: a second, when each takes a large profile apart."""

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Ordering:
    """Columns to order by, together unique, each with whether it is descending."""

    columns: Sequence[tuple[str, bool]]

    def by(self, rows: Any, fixed: int = 0) -> list[ColumnElement[Any]]:
        """What to order a selection by whose rows all have the same in the first `fixed` columns: PostgreSQL takes an
        order by these for another one, and sorts.
        """
        return [rows[name].desc() if descending else rows[name] for name, descending in self.columns[fixed:]]

    def key(self, row: Row[Any]) -> Key:
        """The key of a row."""
        return tuple(getattr(row, name) for name, _ in self.columns)


@dataclass(frozen=True)
class Stretch:
    """Rows that one index gives in an order."""

    holds: ColumnElement[bool]
    fixed: int = 0
    """In how many of the first columns of the order all its rows have the same."""


@dataclass(frozen=True)
class Walk:
    """A way through the rows of a table."""

    table: Any
    rows: Select[Any]
    stretches: Sequence[Stretch]
    """Which of the rows, one behind the other. As one condition, the first of them would be walked to: no index gives a
    comparison of rows in a mixed order, or NULL as the last both ways.
    """
    ordering: Ordering
    shown: Callable[[Subquery], Select[Any]]
    """What is shown of rows looked at."""
    comparisons: int
    """What each row has to pass to be shown; 0 if all rows are."""

    @property
    def rows_max(self) -> int:
        """How many rows are looked at, if not all of them are shown."""
        return max(1, min(ROWS_MAX, ROW_COMPARISONS_MAX // self.comparisons))


async def read_page(connection: AsyncConnection, walk: Walk, page: Filling[Any]) -> Key | None:
    """Fills a page with the first rows of a walk; answers the key behind which the next one begins, None if there is
    none. Of a walk that sifts there may be fewer rows than asked for, or none, and still some behind them.
    """
    sifts = walk.comparisons > 0
    left = walk.rows_max if sifts else 0
    for stretch in walk.stretches:
        near = _near(walk, stretch, left if sifts else page.rows_wanted)
        await page.take(connection, walk.shown(near).order_by(*walk.ordering.by(near.c, stretch.fixed)))
        if page.is_full and page.last is not None:
            return walk.ordering.key(page.last)
        if sifts:
            last = (await connection.execute(_last(walk, stretch, near))).one_or_none()
            left -= last.looked_at if last is not None else 0
            if last is not None and not left:
                return walk.ordering.key(last)
    return None


def _near(walk: Walk, stretch: Stretch, limit: int) -> Subquery:
    by = walk.ordering.by(walk.table.c, stretch.fixed)
    return walk.rows.where(stretch.holds).order_by(*by).limit(limit).subquery("near")


def _last(walk: Walk, stretch: Stretch, near: Subquery) -> Select[Any]:
    """The key of the last row looked at, and how many were."""
    keys = [near.c[name] for name, _ in walk.ordering.columns]
    number = func.row_number().over(order_by=walk.ordering.by(near.c, stretch.fixed)).label("looked_at")
    return select(*keys, number).order_by(number.desc()).limit(1)
