"""Pages by key: each begins where the one before ended, and looks at a bounded number of rows, in an index's order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Subquery, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.query.reading import glance, snapshot
from services.shared.paging import ROWS_AHEAD_MAX, Filling

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

    def by_all(self, rows: Any) -> list[ColumnElement[Any]]:
        """What to order a selection from several stretches by: what has no value comes last, whatever the direction."""
        return [each.nulls_last() for each in self.by(rows)]

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
    beside: Callable[[Subquery], Select[Any]] = select
    """What is added to the rows of the page, once they are found."""

    @property
    def rows_max(self) -> int:
        """How many rows are looked at, if not all of them are shown."""
        return max(1, min(ROWS_MAX, ROW_COMPARISONS_MAX // self.comparisons))


async def read_page(connection: AsyncConnection, walk: Walk, page: Filling[Any]) -> Key | None:
    """Fills a page with the first rows of a walk; answers the key behind which the next one begins, None if there is
    none. Of a walk that sifts there may be fewer rows than asked for, or none, and still some behind them.
    """
    if not walk.comparisons:
        near = _all_near(walk, page.rows_wanted)
        await _take(connection, walk, page, walk.shown(near).order_by(*walk.ordering.by_all(near.c)))
        return walk.ordering.key(page.last) if page.is_full and page.last is not None else None
    left = walk.rows_max
    for stretch in walk.stretches:
        near = _near(walk, stretch, left).subquery("near")
        await _take(connection, walk, page, walk.shown(near).order_by(*walk.ordering.by(near.c, stretch.fixed)))
        if page.is_full and page.last is not None:
            return walk.ordering.key(page.last)
        last = (await connection.execute(_last(walk, stretch, near))).one_or_none()
        left -= last.looked_at if last is not None else 0
        if last is not None and not left:
            return walk.ordering.key(last)
    return None


async def read_page_alone(engine: AsyncEngine, walk: Walk, page: Filling[Any]) -> Key | None:
    """The same for a page that is all there is to read."""
    async with glance(engine) if not walk.comparisons and is_read_at_once(page) else snapshot(engine) as connection:
        return await read_page(connection, walk, page)


async def take_alone(engine: AsyncEngine, query: Select[Any], page: Filling[Any]) -> None:
    """Fills a page with the rows of a query, if nothing else is to be read."""
    async with glance(engine) if is_read_at_once(page) else snapshot(engine) as connection:
        await page.take(connection, query)


def is_read_at_once(page: Filling[Any]) -> bool:
    """Whether the page takes rows as one statement: a cursor needs a transaction."""
    return page.rows_wanted <= ROWS_AHEAD_MAX


async def _take(connection: AsyncConnection, walk: Walk, page: Filling[Any], shown: Select[Any]) -> None:
    found = shown.limit(page.rows_wanted).subquery("found")
    await page.take(connection, walk.beside(found).order_by(*walk.ordering.by_all(found.c)))


def _near(walk: Walk, stretch: Stretch, limit: int) -> Select[Any]:
    return walk.rows.where(stretch.holds).order_by(*walk.ordering.by(walk.table.c, stretch.fixed)).limit(limit)


def _all_near(walk: Walk, limit: int) -> Subquery:
    """The first rows of all stretches: of each as many as all together may be."""
    stretches = [_near(walk, stretch, limit) for stretch in walk.stretches]
    return (union_all(*stretches) if len(stretches) > 1 else stretches[0]).subquery("near")


def _last(walk: Walk, stretch: Stretch, near: Subquery) -> Select[Any]:
    """The key of the last row looked at, and how many were."""
    keys = [near.c[name] for name, _ in walk.ordering.columns]
    number = func.row_number().over(order_by=walk.ordering.by(near.c, stretch.fixed)).label("looked_at")
    return select(*keys, number).order_by(number.desc()).limit(1)
