"""Pages by key: each begins where the one before ended, and looks at a bounded number of rows, in an index's order."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    bindparam,
    cast,
    func,
    null,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.reading import glance, still
from services.query.statements import Driver, Parameters, Statement
from services.shared.paging import ROWS_AHEAD_MAX, Filling

ROWS_MAX = 20_000
"""Looked at for one page, when not all of them are shown."""
ROW_COMPARISONS_MAX = 100_000
"""For one page, of all the rows looked at: a second, when each takes a large profile apart."""

LOOKED_AT = bindparam("rows_looked_at", type_=Integer, literal_execute=True)
WANTED = bindparam("rows_wanted", type_=Integer, literal_execute=True)
"""Limits."""

Key = tuple[Any, ...]
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

    def key(self, row: Any) -> Key:
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
    def steps(self) -> Sequence[Statement]:
        """What is asked for a page, one after the other. Stretches of which all rows are shown are one statement; of
        others, each is one.
        """
        if not self.comparisons:
            return [Statement(_page_of(self, _near(self, self.stretches)))]
        return [Statement(_sifted(self, stretch)) for stretch in self.stretches]


async def read_page(driver: Driver, walk: Walk, page: Filling[Any], parameters: Parameters) -> Key | None:
    """Fills a page with the first rows of a walk; answers the key behind which the next one begins, None if there is
    none. Of a walk that sifts there may be fewer rows than asked for, or none, and still some behind them.
    """
    left = walk.rows_max if walk.comparisons else page.rows_wanted
    for step in walk.steps:
        limits = {LOOKED_AT.key: left, WANTED.key: page.rows_wanted}
        last = await take(driver, step, page, {**parameters, **limits})
        if page.is_full and page.last is not None:
            return walk.ordering.key(page.last)
        if last is not None:
            left -= last.looked_at
            if not left:
                return walk.ordering.key(last)
    return None


async def read_page_alone(engine: AsyncEngine, walk: Walk, page: Filling[Any], parameters: Parameters) -> Key | None:
    """The same for a page that is all there is to read."""
    async with glance(engine) if len(walk.steps) == 1 and is_read_at_once(page) else still(engine) as driver:
        return await read_page(driver, walk, page, parameters)


async def take_alone(engine: AsyncEngine, statement: Statement, page: Filling[Any], parameters: Parameters) -> None:
    """Fills a page with the rows of a statement whose limit is the parameter WANTED, if nothing else is to be read."""
    async with glance(engine) if is_read_at_once(page) else still(engine) as driver:
        await take(driver, statement, page, {**parameters, WANTED.key: page.rows_wanted})


async def take(driver: Driver, statement: Statement, page: Filling[Any], parameters: Parameters) -> Any:
    """Fills a page, and answers the row that says how many were looked at, if there is one: it comes last."""
    if is_read_at_once(page):
        return _fill(page, await statement.rows(driver, parameters))
    async with aclosing(statement.parts(driver, parameters, ROWS_AHEAD_MAX)) as parts:
        async for rows in parts:
            last = _fill(page, rows)
            if page.is_full or last is not None:
                return last
    return None


def _fill(page: Filling[Any], rows: Sequence[Any]) -> Any:
    last = rows[-1] if rows and getattr(rows[-1], "looked_at", None) is not None else None
    page.add(rows if last is None else rows[:-1])
    return last


def is_read_at_once(page: Filling[Any]) -> bool:
    """Whether the page takes rows as one statement: a cursor needs a transaction."""
    return page.rows_wanted <= ROWS_AHEAD_MAX


def _near(walk: Walk, stretches: Sequence[Stretch]) -> Subquery:
    """The first rows of stretches: of each as many as of all together."""
    by, rows = walk.ordering.by, walk.table.c
    each = [walk.rows.where(it.holds).order_by(*by(rows, it.fixed)).limit(LOOKED_AT) for it in stretches]
    return (union_all(*each) if len(each) > 1 else each[0]).subquery("near")


def _page_of(walk: Walk, near: Subquery) -> Select[Any]:
    found = walk.shown(near).order_by(*walk.ordering.by_all(near.c)).limit(WANTED).subquery("found")
    return walk.beside(found).order_by(*walk.ordering.by_all(found.c))


def _sifted(walk: Walk, stretch: Stretch) -> Select[Any]:
    """The rows of a stretch that are shown. If they do not fill a page, there comes one more behind them: the key of
    the last one looked at, and how many were.
    """
    near = _near(walk, [stretch])
    found = walk.shown(near).order_by(*walk.ordering.by(near.c, stretch.fixed)).limit(WANTED).subquery("found")
    page = walk.beside(found).cte("page").prefix_with("MATERIALIZED")
    last = _last(walk, stretch, _near(walk, [stretch])).subquery("last")
    filled = select(func.count()).select_from(page).scalar_subquery()
    of_last = [last.c[each.name] if each.name in last.c else cast(null(), each.type) for each in page.c]
    rows = union_all(
        select(*page.c, cast(null(), BigInteger).label(last.c.looked_at.name)),
        select(*of_last, last.c.looked_at).where(filled < WANTED),
    ).subquery("rows")
    return select(rows).order_by(rows.c.looked_at.nulls_first(), *walk.ordering.by_all(rows.c))


def _last(walk: Walk, stretch: Stretch, near: Subquery) -> Select[Any]:
    keys = [near.c[name] for name, _ in walk.ordering.columns]
    number = func.row_number().over(order_by=walk.ordering.by(near.c, stretch.fixed)).label("looked_at")
    return select(*keys, number).order_by(number.desc()).limit(1)
