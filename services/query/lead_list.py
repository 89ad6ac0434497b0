"""Leads by a filter, in an order, or found by what they are called."""

from functools import lru_cache
from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import Select, Subquery, bindparam, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.filters.condition import condition_of
from services.query.filters.parsing import parse_filter
from services.query.filters.tree import comparisons_in
from services.query.leads import SHOWN, lead_of
from services.query.orders import Form, form_of, order_named
from services.query.pages import WALKS_KEPT_MAX, Walk, read_page_alone
from services.query.reading import PAGE_SIZE_DEFAULT, decode_key, encode_key
from services.query.search import SHAPE, end_of_prefix, fold_search, search_parameters, search_walk
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.paging import Filling
from services.shared.schema import LEADS

ORDER_DEFAULT = "score desc"


async def list_leads(
    engine: AsyncEngine, tenant_id: str, request: contract.ListLeadsRequest
) -> contract.ListLeadsResponse:
    """A page of leads. Raises InvalidRequest."""
    search = fold_search(request.search)
    order_by = " ".join(request.order_by.split())
    if search and order_by:
        raise InvalidRequest([FieldViolation("order_by", "must not be given with a search, which has its own order")])
    order = order_named(order_by or ORDER_DEFAULT)
    call = "leads", order_by or ORDER_DEFAULT, request.filter, search
    after = decode_key(request.page_token, SHAPE if search else order.shape, *call)
    if search:
        walk, parameters = (
            search_walk(bool(end_of_prefix(search)), after is not None, request.filter),
            search_parameters(search, after),
        )
    else:
        walk, parameters = lead_walk(order_by or ORDER_DEFAULT, form_of(after), request.filter), order.parameters(after)
    page = Filling(request.page_size or PAGE_SIZE_DEFAULT, lead_of)
    behind = await read_page_alone(engine, walk, page, {**parameters, "tenant_id": tenant_id})
    more = encode_key(behind, *call) if behind else ""
    return contract.ListLeadsResponse(leads=page.items, next_page_token=more)


@lru_cache(WALKS_KEPT_MAX)
def lead_walk(order_by: str, form: Form, filter_text: str) -> Walk:
    """The leads of the parameter `tenant_id`, behind a key of a form in an order. Raises InvalidRequest."""
    order, tree = order_named(order_by), parse_filter(filter_text)
    leads = select(*SHOWN).where(LEADS.c.tenant_id == bindparam("tenant_id"))

    def shown(near: Subquery) -> Select[Any]:
        return select(near).where(condition_of(tree, near.c)) if tree else select(near)

    return Walk(LEADS, leads, order.behind(form), order.ordering, shown, comparisons=comparisons_in(tree))
