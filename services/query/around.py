"""A page of the leaderboard with a lead in its middle."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import CTE, ColumnElement, Integer, Select, bindparam, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.board import Way, board_walk, entries_of, entry_of, ranked
from services.query.leads import SHOWN, THE_LEAD, askable, find_lead
from services.query.orders import BEST_FIRST, BEST_LAST, Order, form_of
from services.query.pages import WANTED, Key, Stretch, read_page
from services.query.reading import read, still
from services.query.statements import Statement
from services.shared.errors import NotFound
from services.shared.paging import PAGE_BYTES_MAX, Filling
from services.shared.schema import LEADS

ABOVE = bindparam("rows_above", type_=Integer, literal_execute=True)
"""How many places are wanted above the lead."""

Around = tuple[Sequence[contract.LeaderboardEntry], Any, Key | None]
"""The entries, the row of one of them (None if there are none), and the key behind which the next page begins."""


async def around_all(engine: AsyncEngine, tenant_id: str, lead_id: str, size: int) -> Around:
    """A page with a lead in its middle, or as near to it as the end of the leaderboard lets it be. Raises NotFound."""
    parameters = {"tenant_id": tenant_id, "lead_id": askable(lead_id), ABOVE.key: size // 2, WANTED.key: size + 1}
    rows = await read(engine, _all_around(), **parameters)
    if not rows:
        raise NotFound(f"nothing is known of lead {lead_id!r}")
    above_it = next(number for number, row in enumerate(rows) if row.lead_id == lead_id)
    above = Filling(above_it, entry_of, PAGE_BYTES_MAX // 2)
    above.add(reversed(rows[:above_it]))
    below = Filling(size - above_it, entry_of, PAGE_BYTES_MAX // 2 + above.bytes_left)
    below.add(rows[above_it:])
    behind = BEST_FIRST.ordering.key(below.last) if below.is_full else None
    return [*reversed(above.items), *below.items], below.last, behind


@cache
def _all_around() -> Statement:
    lead = select(LEADS.c.score).where(*THE_LEAD).cte("the_lead")
    key: tuple[Any, ...] = select(lead.c.score).scalar_subquery(), bindparam("lead_id")
    above = _first(BEST_LAST, BEST_LAST.from_key(key), ABOVE, ABOVE).cte("above").prefix_with("MATERIALIZED")
    # A lead that has few above it has more below it.
    room = WANTED - _count(above)
    below = _first(BEST_FIRST, [Stretch(THE_LEAD[1]), *BEST_FIRST.from_key(key)], WANTED, room)
    found = union_all(select(above), select(below.subquery())).subquery("found")
    return Statement(ranked(found).order_by(*BEST_FIRST.ordering.by(found.c)))


def _first(order: Order, stretches: Sequence[Stretch], of_each: Any, of_all: ColumnElement[int]) -> Select[Any]:
    """The first entries of some stretches of the leaderboard."""
    leads = select(*SHOWN).where(THE_LEAD[0])
    rows = [leads.where(it.holds).order_by(*order.ordering.by(LEADS.c, it.fixed)).limit(of_each) for it in stretches]
    near = union_all(*rows).subquery()
    return entries_of(near).order_by(*order.ordering.by(near.c)).limit(of_all)


def _count(rows: CTE) -> Any:
    return select(func.count()).select_from(rows).scalar_subquery()


async def around_sifted(engine: AsyncEngine, tenant_id: str, lead_id: str, size: int, filter_text: str) -> Around:
    """The same of the leads that a filter lets pass, around where the lead would be if it does not pass itself. Raises
    InvalidRequest and NotFound.
    """
    async with still(engine) as driver:
        lead = await find_lead(driver, tenant_id, lead_id)
        key = lead.score, lead.lead_id
        parameters = {"tenant_id": tenant_id, **BEST_FIRST.parameters(key)}
        above = Filling(size // 2, entry_of, PAGE_BYTES_MAX // 2)
        if size > 1:
            await read_page(driver, board_walk(Way.UP, form_of(key), filter_text), above, parameters)
        below = Filling(size - len(above.items), entry_of, PAGE_BYTES_MAX // 2 + above.bytes_left)
        walk = board_walk(Way.DOWN_FROM_IT, form_of(key), filter_text)
        behind = await read_page(driver, walk, below, parameters)
    return [*reversed(above.items), *below.items], below.last or above.last, behind
