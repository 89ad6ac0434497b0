"""Leads by a filter, in an order, or found by what they are called."""

from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import Select, Subquery, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.filters.condition import condition_of
from services.query.filters.parsing import parse_filter
from services.query.filters.tree import Node, comparisons_in
from services.query.leads import SHOWN, lead_of
from services.query.orders import Order, order_named
from services.query.pages import Walk, read_page_alone
from services.query.reading import PAGE_SIZE_DEFAULT, decode_key, encode_key
from services.query.search import SHAPE, fold_search, search_walk
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.paging import Filling
from services.shared.schema import LEADS

ORDER_DEFAULT = "score desc"


async def list_leads(
    engine: AsyncEngine, tenant_id: str, request: contract.ListLeadsRequest
) -> contract.ListLeadsResponse:
    """A page of leads. Raises InvalidRequest."""
    tree = parse_filter(request.filter)
    search = fold_search(request.search)
    order_by = " ".join(request.order_by.split())
    if search and order_by:
        raise InvalidRequest([FieldViolation("order_by", "must not be given with a search, which has its own order")])
    order = order_named(order_by or ORDER_DEFAULT)
    call = "leads", order_by or ORDER_DEFAULT, request.filter, search
    after = decode_key(request.page_token, SHAPE if search else order.shape, *call)
    walk = search_walk(tenant_id, search, after, tree) if search else lead_walk(tenant_id, order, after, tree)
    page = Filling(request.page_size or PAGE_SIZE_DEFAULT, lead_of)
    behind = await read_page_alone(engine, walk, page)
    more = encode_key(behind, *call) if behind else ""
    return contract.ListLeadsResponse(leads=page.items, next_page_token=more)


def lead_walk(tenant_id: str, order: Order, after: Any, tree: Node | None) -> Walk:
    """The leads behind a key in an order."""
    leads = select(*SHOWN).where(LEADS.c.tenant_id == tenant_id)

    def shown(near: Subquery) -> Select[Any]:
        return select(near).where(condition_of(tree, near.c)) if tree else select(near)

    return Walk(LEADS, leads, order.behind(after), order.ordering, shown, comparisons=comparisons_in(tree))
