"""Filters on a real database: what they say by examples, and any filter against the same in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from operator import eq, ge, gt, le, lt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, select

from services.query.filters.condition import condition_of
from services.query.filters.parsing import parse_filter
from services.query.filters.tree import AllOf, AnyOf, Node, Not
from services.shared.database import driver_url
from services.shared.errors import InvalidRequest
from services.shared.schema import LEADS
from tests.lead_rows import NOON, Row, made_rows, store

AT_ONE = NOON + timedelta(hours=1)
FILTERS: list[tuple[str, Callable[[Row], bool]]] = [
    ("score >= 50", lambda row: row.score >= 50),
    ("score > 9.5 AND score < 50.5", lambda row: row.score in (10, 50)),
    ("score = 1e1", lambda row: row.score == 10),
    ("score != 10 AND fit <= 15", lambda row: row.score != 10 and row.fit <= 15),
    ("version > 99999999999999999999999", lambda row: False),
    ("lead_id = lead-*", lambda row: row.lead_id.startswith("lead-")),
    ("lead_id != lead-*", lambda row: not row.lead_id.startswith("lead-")),
    ("lead_id = %", lambda row: False),
    ("lead_id = %*", lambda row: False),
    ("lead_id > ada", lambda row: row.lead_id.encode() > b"ada"),
    ('grade = "A1" OR grade = B2 AND status != lost', lambda row: row.grade in ("A1", "B2") and row.status != "lost"),
    ("owner = '' OR (grade = B2 AND fit > 9)", lambda row: not row.owner or (row.grade == "B2" and row.fit > 9)),
    ("NOT (status = new OR status = won)", lambda row: row.status == "lost"),
    ('owner = ""', lambda row: not row.owner),
    ("owner = bob", lambda row: row.owner == "bob"),
    ("last_event_at > 2026-10-01T13:00:00Z", lambda row: bool(row.last_event_at and row.last_event_at.hour > 13)),
    ("last_event_at = '2026-10-01T15:00:00+02:00'", lambda row: row.last_event_at == AT_ONE),
    ("last_event_at != '2026-10-01T13:00:00Z'", lambda row: row.last_event_at != AT_ONE),
    ("NOT first_event_at >= 2000-01-01T00:00:00Z", lambda row: row.first_event_at is None),
    ('profile.industry = "tech"', lambda row: row.profile.get("industry") == "tech"),
    ("profile.industry != tech", lambda row: row.profile.get("industry") != "tech"),
    ("profile.industry = tech*", lambda row: str(row.profile.get("industry")).startswith("tech")),
    (r'profile.industry = "tech\*"', lambda row: row.profile.get("industry") == "tech*"),
    ("profile.industry = *", lambda row: isinstance(row.profile.get("industry"), str)),
    ('profile.industry = ""', lambda row: row.profile.get("industry") == ""),
    ("profile.industry < tech", lambda row: row.profile.get("industry") in ("", "Tech")),
    ("profile.budget = 5000", lambda row: row.profile.get("budget") == 5000),
    ('profile.budget = "5000"', lambda row: row.profile.get("budget") == "5000"),
    ("profile.budget = 0.1", lambda row: row.profile.get("budget") == 0.1),
    ("profile.budget < 1", lambda row: row.profile.get("budget") in (0.1, -3)),
    ("profile.budget >= 1e300", lambda row: row.profile.get("budget") == 1e300),
    ("profile.vip = true", lambda row: row.profile.get("vip") is True),
    ("profile.vip = 'true'", lambda row: row.profile.get("vip") == "true"),
    ("profile.vip != true", lambda row: row.profile.get("vip") is not True),
    ('profile."job title" = CEO', lambda row: "job title" in row.profile),
    (r'profile.a.b = "quote \" and \\"', lambda row: "a.b" in row.profile),
    ("profile.tags = tech OR profile.none = x", lambda row: False),
]  # fmt: skip


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(driver_url(database_url))
    yield engine
    engine.dispose()


def passing(connection: Connection, tree: Node) -> set[str]:
    return set(connection.execute(select(LEADS.c.lead_id).where(condition_of(tree, LEADS.c))).scalars())


def test_filters_let_pass_what_they_say(engine: Engine, database_url: str) -> None:
    rows = made_rows(80)
    store(database_url, rows)
    with engine.connect() as connection:
        for text, passes in FILTERS:
            tree = parse_filter(text)
            assert tree
            assert passing(connection, tree) == {row.lead_id for row in rows if passes(row)}, text


COMPARE = {"=": eq, "<": lt, "<=": le, ">": gt, ">=": ge}


def lets_pass(tree: Node, row: Row) -> bool:
    """What a filter means, in a few lines of Python."""
    match tree:
        case Not():
            return not lets_pass(tree.part, row)
        case AllOf():
            return all(lets_pass(part, row) for part in tree.parts)
        case AnyOf():
            return any(lets_pass(part, row) for part in tree.parts)
    if tree.operator == "!=":
        return not lets_pass(replace(tree, operator="="), row)
    value = row.profile.get(tree.key) if tree.key else getattr(row, tree.field)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = Decimal(str(value))
    if type(value) is not type(tree.value):
        return False
    if isinstance(value, str) and isinstance(tree.value, str):
        left, right = value.encode(), tree.value.encode()
        return left.startswith(right) if tree.is_beginning else COMPARE[tree.operator](left, right)
    return bool(COMPARE[tree.operator](value, tree.value))


def comparisons(fields: Sequence[str], operators: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from(fields), st.sampled_from(operators.split()), values).map(" ".join)


TEXTS = st.sampled_from(
    ["tech", "Tech", "te*", '"tech\\*"', '""', "*", "new", "bob", "A1", "'Ada Lovelace'", "ö*", "%", "_*"]
)
NUMBERS = st.sampled_from(["0", "10", "-3", "5000", "0.1", "1e300", "50.0", "99999999999999999999"])
MOMENTS = st.sampled_from(["2026-10-01T13:00:00Z", '"2026-10-01T12:00:00.000001+00:00"', "0001-01-01T00:00:00Z"])
KEYS = ["profile.industry", "profile.budget", "profile.vip", "profile.name", 'profile."job title"', "profile.none"]
COMPARISONS = st.one_of(
    comparisons(["lead_id", "grade", "status", "owner", "source", *KEYS], "= !=", TEXTS),
    comparisons(["lead_id", "status", *KEYS], "< <= > >=", TEXTS.filter(lambda text: not text.endswith("*"))),
    comparisons(["score", "machine_score", "fit", "version", *KEYS], "= != < <= > >=", NUMBERS),
    comparisons(["first_event_at", "last_event_at", "updated_at"], "= != < <= > >=", MOMENTS),
    comparisons(KEYS, "= !=", st.sampled_from(["true", "false", '"true"'])),
)
VALID = st.recursive(
    COMPARISONS,
    lambda parts: st.one_of(
        parts.map("NOT ({})".format),
        st.tuples(parts, st.sampled_from([" AND ", " OR "]), parts).map("".join),
        st.tuples(parts, parts).map("({0[0]}) OR ({0[1]})".format),
    ),
    max_leaves=8,
)


def test_the_database_and_python_agree_on_any_filter(engine: Engine, database_url: str) -> None:
    rows = made_rows(60, seed=2)
    store(database_url, rows)
    with engine.connect() as connection:

        @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
        @given(VALID | st.text(max_size=30))
        def agree(text: str) -> None:
            try:
                tree = parse_filter(text)
            except InvalidRequest:
                return
            if tree is not None:
                assert passing(connection, tree) == {row.lead_id for row in rows if lets_pass(tree, row)}, text

        agree()
