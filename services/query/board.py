"""The leaderboard as the database has it: ways through it, and what is shown of a place."""

from enum import Enum, auto
from functools import lru_cache
from typing import Any

from leadscore.query.v1 import query_service_pb2 as contract
from sqlalchemy import ColumnElement, Select, Subquery, bindparam, case, func, select

from services.query.filters.condition import condition_of
from services.query.filters.parsing import parse_filter
from services.query.filters.tree import comparisons_in
from services.query.leads import SHOWN
from services.query.orders import BEST_FIRST, BEST_LAST, Form
from services.query.pages import WALKS_KEPT_MAX, Stretch, Walk
from services.query.ranks import ranks
from services.query.wire import set_times
from services.shared.schema import LEADS

ENTRY = (
    "lead_id", "score", "engagement", "fit", "grade", "version", "last_event_at", "status", "owner", "machine_score",
)  # fmt: skip
"""What is shown of a row, beside what the profile has."""
TEXT_LENGTH_MAX = 200
"""Of a name or a company: enough for a line, and a thousand of them fit one answer."""


class Way(Enum):
    """Which way to go from a lead's place."""

    DOWN = auto()
    DOWN_FROM_IT = auto()
    """Beginning with the lead itself."""
    UP = auto()


@lru_cache(WALKS_KEPT_MAX)
def board_walk(way: Way, form: Form, filter_text: str) -> Walk:
    """The places of the parameter `tenant_id`, from a key of a form on. Raises InvalidRequest."""
    order, tree = BEST_LAST if way is Way.UP else BEST_FIRST, parse_filter(filter_text)
    itself = [Stretch(LEADS.c.lead_id == bindparam("after_lead_id"))] if way is Way.DOWN_FROM_IT else []
    leads = select(*SHOWN).where(LEADS.c.tenant_id == bindparam("tenant_id"))

    def shown(near: Subquery) -> Select[Any]:
        query = entries_of(near)
        return query.where(condition_of(tree, near.c)) if tree else query

    return Walk(LEADS, leads, [*itself, *order.behind(form)], order.ordering, shown, comparisons_in(tree), ranked)


def entries_of(leads: Subquery) -> Select[Any]:
    """What is shown of some leads, but for their ranks."""
    of_profile = [text_of(leads.c.profile, key).label(key) for key in ("name", "company")]
    return select(*(leads.c[name] for name in ENTRY), *of_profile)


def ranked(entries: Subquery) -> Select[Any]:
    """The same with the ranks, and the number of all leads."""
    known = ranks()
    return select(entries, known.c.rank, known.c.total).join_from(entries, known, known.c.score == entries.c.score)


def entry_of(row: Any) -> contract.LeaderboardEntry:
    """A row of these as the contract has it."""
    entry = contract.LeaderboardEntry(
        rank=row.rank,
        lead_id=row.lead_id,
        score=row.score,
        engagement=row.engagement,
        fit=row.fit,
        grade=row.grade,
        version=row.version,
        name=row.name,
        company=row.company,
        status=row.status,
        owner=row.owner,
        machine_score=row.machine_score,
    )
    set_times(entry, last_event_at=row.last_event_at)
    return entry


def text_of(profile: Any, key: str) -> ColumnElement[str]:
    """The beginning of a value of a profile, if it is a text; else empty."""
    is_text = func.jsonb_typeof(profile[key]) == "string"
    return case((is_text, func.left(profile[key].astext, TEXT_LENGTH_MAX)), else_="")
