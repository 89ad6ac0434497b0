"""The leads by score: pages by key, in a total order, with exact ranks."""

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.around import around_all, around_sifted
from services.query.board import Way, board_walk, entry_of
from services.query.orders import BEST_FIRST, form_of
from services.query.pages import read_page_alone
from services.query.ranks import TOTAL
from services.query.reading import PAGE_SIZE_DEFAULT, decode_key, encode_key, read
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.paging import Filling


async def list_leaderboard(
    engine: AsyncEngine,
    tenant_id: str,
    page_size: int,
    page_token: str,
    around_lead_id: str = "",
    filter_text: str = "",
) -> contract.ListLeaderboardResponse:
    """A page of the leaderboard. Equal scores are in the order of their lead ids, by code point. Raises InvalidRequest,
    and NotFound for a lead of which nothing is known.
    """
    size = page_size or PAGE_SIZE_DEFAULT
    after = decode_key(page_token, BEST_FIRST.shape, "leaderboard", filter_text)
    if around_lead_id and page_token:
        raise InvalidRequest([FieldViolation("around_lead_id", "must not be given with a page token")])
    if around_lead_id:
        if filter_text:
            entries, last, behind = await around_sifted(engine, tenant_id, around_lead_id, size, filter_text)
        else:
            entries, last, behind = await around_all(engine, tenant_id, around_lead_id, size)
    else:
        page = Filling(size, entry_of)
        parameters = {"tenant_id": tenant_id, **BEST_FIRST.parameters(after)}
        behind = await read_page_alone(engine, board_walk(Way.DOWN, form_of(after), filter_text), page, parameters)
        entries, last = page.items, page.last
    total = (await read(engine, TOTAL, tenant_id=tenant_id))[0].total if last is None else last.total
    more = encode_key(behind, "leaderboard", filter_text) if behind else ""
    return contract.ListLeaderboardResponse(entries=entries, next_page_token=more, total_leads=total)
