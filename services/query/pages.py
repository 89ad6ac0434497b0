"""Pages by key: each begins where the one before ended, and looks at a bounded number of rows, in an index's order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, Select, Subquery, bindparam, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.query.reading import glance, snapshot
from services.shared.paging import ROWS_AHEAD_MAX, Filling

ROWS_MAX = 20_000
"""Looked at for one page, when not all of them are shown."""
ROW_COMPARISONS_MAX = 100_000
"""For one page, of all the rows looked at: a second, when each takes a large profile apart."""

LOOKED_AT, WANTED = bindparam("rows_looked_at", type_=Integer), bindparam("rows_wanted", type_=Integer)
"""Limits, as parameters."""

Key = tuple[Any, ...]
Parameters = Mapping[str, object]
"""Of the statements, which are built once: that takes longer than the database takes for the answer."""
NO_PARAMETERS: Parameters = {}
WALKS_KEPT_MAX = 200
"""Of each kind, with their statements, some 100 KB each: callers have some filters, not any number of them."""


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


@dataclass(frozen=True, eq=False)
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

    @cached_property
    def steps(self) -> Sequence["Step"]:
        """What is asked for a page. Stretches of which all rows are shown are one statement."""
        by_all = self.ordering.by_all
        if not self.comparisons:
            near = _near(self, self.stretches)
            return [Step(_page_of(self, self.shown(near).order_by(*by_all(near.c))))]
        steps = []
        for stretch in self.stretches:
            near = _near(self, [stretch])
            found = self.shown(near).order_by(*self.ordering.by(near.c, stretch.fixed))
            steps.append(Step(_page_of(self, found), _last(self, stretch, near)))
        return steps


@dataclass(frozen=True)
class Step:
    """What is asked of some stretches of a walk."""

    page: Select[Any]
    last: Select[Any] | None = None
    """The key of the last row looked at, and how many were; None if all are shown."""


async def read_page(
    connection: AsyncConnection, walk: Walk, page: Filling[Any], parameters: Parameters = NO_PARAMETERS
) -> Key | None:
    """Fills a page with the first rows of a walk; answers the key behind which the next one begins, None if there is
    none. Of a walk that sifts there may be fewer rows than asked for, or none, and still some behind them.
    """
    left = walk.rows_max if walk.comparisons else page.rows_wanted
    for step in walk.steps:
        limits = {LOOKED_AT.key: left, WANTED.key: page.rows_wanted}
        await page.take_limited(connection, step.page, {**parameters, **limits})
        if page.is_full and page.last is not None:
            return walk.ordering.key(page.last)
        if step.last is not None:
            last = (await connection.execute(step.last, {**parameters, **limits})).one_or_none()
            left -= last.looked_at if last is not None else 0
            if last is not None and not left:
                return walk.ordering.key(last)
    return None


async def read_page_alone(engine: AsyncEngine, walk: Walk, page: Filling[Any], parameters: Parameters) -> Key | None:
    """The same for a page that is all there is to read."""
    async with glance(engine) if not walk.comparisons and is_read_at_once(page) else snapshot(engine) as connection:
        return await read_page(connection, walk, page, parameters)


async def take_alone(engine: AsyncEngine, query: Select[Any], page: Filling[Any], parameters: Parameters) -> None:
    """Fills a page with the rows of a query whose limit is the parameter WANTED, if nothing else is to be read."""
    async with glance(engine) if is_read_at_once(page) else snapshot(engine) as connection:
        await page.take_limited(connection, query, {**parameters, WANTED.key: page.rows_wanted})


def is_read_at_once(page: Filling[Any]) -> bool:
    """Whether the page takes rows as one statement: a cursor needs a transaction."""
    return page.rows_wanted <= ROWS_AHEAD_MAX


def _near(walk: Walk, stretches: Sequence[Stretch]) -> Subquery:
    """The first rows of stretches: of each as many as of all together."""
    by, rows = walk.ordering.by, walk.table.c
    each = [walk.rows.where(it.holds).order_by(*by(rows, it.fixed)).limit(LOOKED_AT) for it in stretches]
    return (union_all(*each) if len(each) > 1 else each[0]).subquery("near")


def _page_of(walk: Walk, shown: Select[Any]) -> Select[Any]:
    found = shown.limit(WANTED).subquery("found")
    return walk.beside(found).order_by(*walk.ordering.by_all(found.c))


def _last(walk: Walk, stretch: Stretch, near: Subquery) -> Select[Any]:
    keys = [near.c[name] for name, _ in walk.ordering.columns]
    number = func.row_number().over(order_by=walk.ordering.by(near.c, stretch.fixed)).label("looked_at")
    return select(*keys, number).order_by(number.desc()).limit(1)
