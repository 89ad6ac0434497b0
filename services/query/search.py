"""Leads by what they are called: a range of names, each lead at the first of its names in it."""

from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, bindparam, func, select, tuple_

from services.query.filters.condition import condition_of
from services.query.filters.parsing import parse_filter
from services.query.filters.tree import comparisons_in
from services.query.leads import SHOWN
from services.query.orders import ALL
from services.query.pages import WALKS_KEPT_MAX, Ordering, Walk
from services.query.reading import Key
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.schema import LEAD_NAMES, LEADS

ORDERING = Ordering([("name", False), ("lead_id", False)])
SHAPE = tuple[Key, Key]
"""Of a key in a page token."""
LAST_CHARACTER = chr(0x10FFFF)
FIRST_SURROGATE, BEHIND_SURROGATES = 0xD800, 0xE000


def fold_search(search: str) -> str:
    """A search as names are stored: in lower case, with single spaces. Raises InvalidRequest."""
    if "\0" in search:
        raise InvalidRequest([FieldViolation("search", "must not contain a NUL")])
    return " ".join(search.lower().split())


PREFIX = bindparam("prefix", type_=LEAD_NAMES.c.name.type)
END = bindparam("end", type_=LEAD_NAMES.c.name.type)
AFTER = [bindparam(f"after_{name}", type_=LEAD_NAMES.c[name].type) for name in ("name", "lead_id")]


def search_parameters(prefix: str, after: tuple[str, str] | None) -> dict[str, object]:
    """The parameters of a walk."""
    behind = zip((each.key for each in AFTER), after or (), strict=False)
    return {PREFIX.key: prefix, END.key: end_of_prefix(prefix), **dict(behind)}


@lru_cache(WALKS_KEPT_MAX)
def search_walk(has_end: bool, has_after: bool, filter_text: str) -> Walk:
    """The leads with a name that begins so, in the order of these names. Raises InvalidRequest."""
    tree = parse_filter(filter_text)
    tenant_id: ColumnElement[str] = bindparam("tenant_id")
    names = select(LEAD_NAMES.c.name, LEAD_NAMES.c.lead_id).where(
        LEAD_NAMES.c.tenant_id == tenant_id, LEAD_NAMES.c.name >= PREFIX
    )
    if has_end:
        names = names.where(LEAD_NAMES.c.name < END)
    if has_after:
        names = names.where(tuple_(LEAD_NAMES.c.name, LEAD_NAMES.c.lead_id) > tuple_(*AFTER))

    def shown(near: Subquery) -> Select[Any]:
        # A limit keeps PostgreSQL from joining with all leads at once, and a sum from looking through all names.
        of_name = LEADS.c.tenant_id == tenant_id, LEADS.c.lead_id == near.c.lead_id
        lead = select(*SHOWN).where(*of_name).limit(1).lateral("lead")
        is_earlier = and_(LEAD_NAMES.c.name >= PREFIX, LEAD_NAMES.c.name < near.c.name)
        of_lead = LEAD_NAMES.c.tenant_id == tenant_id, LEAD_NAMES.c.lead_id == near.c.lead_id
        was_shown = select(func.bool_or(is_earlier)).where(*of_lead).scalar_subquery()
        query = select(near.c.name, *lead.c).where(was_shown.is_not(True))
        return query.where(condition_of(tree, lead.c)) if tree else query

    return Walk(LEAD_NAMES, names, ALL, ORDERING, shown, comparisons=1 + comparisons_in(tree))


def end_of_prefix(prefix: str) -> str:
    """The first text, by code point, behind all that begin with a prefix; empty if there is none."""
    last = prefix.rstrip(LAST_CHARACTER)
    if not last:
        return ""
    following = ord(last[-1]) + 1
    return last[:-1] + chr(BEHIND_SURROGATES if following == FIRST_SURROGATE else following)
