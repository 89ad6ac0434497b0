"""The filter language: what a filter says, and what is wrong with one that cannot be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query.filters.condition import condition_of
from services.query.filters.fields import FIELDS
from services.query.filters.parsing import COMPARISONS_MAX, LENGTH_MAX, NESTING_MAX, parse_filter
from services.query.filters.tree import AllOf, AnyOf, Comparison, Node, Not, Value
from services.query.search import end_of_prefix, fold_search
from services.shared.errors import InvalidRequest
from services.shared.schema import LEADS


def compared(field: str, operator: str, value: Value, *, key: str = "", is_beginning: bool = False) -> Comparison:
    return Comparison(field, key, operator, value, is_beginning)


A, B, C = (compared("owner", "=", name) for name in "abc")

SAID: list[tuple[str, Node | None]] = [
    ("", None),
    (" \t\n", None),
    ("score >= 50", compared("score", ">=", Decimal(50))),
    ("score>=-5.5e1", compared("score", ">=", Decimal("-55"))),
    ('score = "50"', compared("score", "=", Decimal(50))),
    ("lead_id = 42", compared("lead_id", "=", "42")),
    ("lead_id = ada@example.com", compared("lead_id", "=", "ada@example.com")),
    ("lead_id != a*", compared("lead_id", "!=", "a", is_beginning=True)),
    ("lead_id = *", compared("lead_id", "=", "", is_beginning=True)),
    ('lead_id = "a b*"', compared("lead_id", "=", "a b", is_beginning=True)),
    (r'lead_id = "a\*"', compared("lead_id", "=", "a*")),
    (r'lead_id = "a\\*"', compared("lead_id", "=", "a\\", is_beginning=True)),
    (r"lead_id = 'it\'s \"so\"'", compared("lead_id", "=", 'it\'s "so"')),
    (r"lead_id = a\b", compared("lead_id", "=", "a\\b")),
    ("lead_id = a*b", compared("lead_id", "=", "a*b")),
    ('owner = "AND"', compared("owner", "=", "AND")),
    ("owner = and", compared("owner", "=", "and")),
    ("status<'a'", compared("status", "<", "a")),
    ('profile.industry = "tech"', compared("profile", "=", "tech", key="industry")),
    ("profile.a.b = 5", compared("profile", "=", Decimal(5), key="a.b")),
    ('profile."job title" = CEO', compared("profile", "=", "CEO", key="job title")),
    ('profile.zip = "5"', compared("profile", "=", "5", key="zip")),
    ("profile.zip = 5*", compared("profile", "=", "5", key="zip", is_beginning=True)),
    ("profile.vip = true", compared("profile", "=", True, key="vip")),
    ('profile.vip = "true"', compared("profile", "=", "true", key="vip")),
    (
        'last_event_at > "2026-10-01T02:00:00.1234567+02:00"',
        compared("last_event_at", ">", datetime(2026, 10, 1, 0, 0, 0, 123456, tzinfo=UTC)),
    ),
    ("updated_at > 2026-10-01t00:00:00z", compared("updated_at", ">", datetime(2026, 10, 1, tzinfo=UTC))),
    ("owner = a AND owner = b OR owner = c", AllOf([A, AnyOf([B, C])])),
    ("owner = a OR owner = b AND owner = c", AllOf([AnyOf([A, B]), C])),
    ("(owner = a AND owner = b) OR owner = c", AnyOf([AllOf([A, B]), C])),
    ("NOT owner = a AND owner = b", AllOf([Not(A), B])),
    ("NOT (owner = a OR owner = b)", Not(AnyOf([A, B]))),
    ("NOT NOT owner = a", A),
    ("((owner=a))", A),
]


@pytest.mark.parametrize(("text", "tree"), SAID, ids=[text for text, _ in SAID])
def test_a_filter_says(text: str, tree: Node | None) -> None:
    assert parse_filter(text) == tree


WRONG = [
    ("scoer > 5", "column 1: scoer is no field; fields are lead_id, score,"),
    ("score = 1 AND profile = 5", "column 15: profile is no field;"),
    ("profile. = 5", "column 1: profile. must be followed by a key"),
    ('profile. "a" = 5', "column 1: profile. must be followed by a key"),
    ('profile."" = 5', "column 1: profile. must be followed by a key"),
    ("score > high", "column 9: score is compared with a number, not with high"),
    ("score = 5*", "column 9: score is compared with a number, not with 5*"),
    ("score = nan", "column 9: score is compared with a number"),
    ("score = 1e500", "column 9: 1e500 is too large or too small"),
    ("score = 1e-500", "column 9: 1e-500 is too large or too small"),
    (f"profile.a = {'9' * 500}", f"column 13: {'9' * 40}... is too large or too small"),
    ("updated_at > 2026-10-01", "column 14: updated_at is compared with a time like 2026-10-01T00:00:00Z, not with"),
    ("updated_at > 2026-13-01T00:00:00Z", "column 14: updated_at is compared with a time"),
    ("updated_at > 0001-01-01T00:00:00+23:00", "column 14: updated_at is compared with a time"),
    ("owner < a*", "column 7: a beginning like a* is compared with = and != only"),
    ("profile.vip >= true", "column 13: true is compared with = and != only"),
    ("owner", "column 6: expected one of = != < <= > >=, not the end"),
    ("owner a", "column 7: expected one of = != < <= > >=, not a"),
    ("owner =", "column 8: expected a value, not the end"),
    ("owner = = a", "column 9: expected a value, not ="),
    ("owner = OR", "column 9: expected a value; as one, OR is written in quotes"),
    ("owner ! a", "column 7: ! must be followed by ="),
    ('owner = "a', "column 9: the text in quotes does not end"),
    (r'owner = "a\n"', "column 11: a backslash stands before one of"),
    ("owner = a owner = b", "column 11: expected AND or OR (in capitals), not owner"),
    ("owner = a and owner = b", "column 11: expected AND or OR (in capitals), not and"),
    ("(owner = a and owner = b)", "column 12: expected AND, OR (in capitals) or ), not and"),
    ("owner = a AND", "column 14: expected a field, not the end"),
    ("AND owner = a", "column 1: expected a field, not AND"),
    ('"owner" = a', 'column 1: expected a field, not "owner"'),
    ("NOT", "column 4: expected a field, not the end"),
    ("(owner = a", "column 11: expected AND, OR (in capitals) or ), not the end"),
    ("owner = a)", "column 10: nothing is open that this parenthesis could close"),
    ("()", "column 2: expected a field, not )"),
    ("owner = \0", "column 9: a NUL is in no text"),
    ("x" * 100, f"column 1: {'x' * 40}... is no field"),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG, ids=[text[:40].replace("\0", "NUL") for text, _ in WRONG])
def test_a_filter_that_cannot_be_is_refused_with_the_part_and_its_column(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_filter(text)
    (violation,) = caught.value.violations
    assert violation.field == "filter"
    assert violation.description.startswith(sentence), violation.description


def test_a_filter_has_bounds() -> None:
    most = " AND ".join(["owner = a"] * COMPARISONS_MAX)
    assert parse_filter(most)
    assert parse_filter("(" * NESTING_MAX + "owner = a" + ")" * NESTING_MAX)
    assert parse_filter("owner = a".ljust(LENGTH_MAX))
    for text, sentence in (
        (f"{most} AND owner = a", "column 701: a filter has at most 50 comparisons"),
        ("(" * 21 + "owner = a" + ")" * 21, "column 21: parentheses are at most 20 deep"),
        ("owner = a".ljust(LENGTH_MAX + 1), "column 2001: a filter has at most 2000 characters"),
    ):
        with pytest.raises(InvalidRequest, match=sentence):
            parse_filter(text)


WORDS = ["profile.a", "profile.", "!=", ">=", "AND", "OR", "NOT", "5", "1e9", "true", "2026-10-01T00:00:00+99:99"]
PARTS = st.sampled_from([*FIELDS, *WORDS, *"\"'\\()=!<>* -.\0\u2028\U0010ffff"])


@given(st.text(max_size=60) | st.lists(PARTS | st.text(max_size=3), max_size=40).map("".join))
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    try:
        tree = parse_filter(text)
    except InvalidRequest as refusal:
        assert [each.field for each in refusal.violations] == ["filter"]
    else:
        assert tree is None or str(condition_of(tree, LEADS.c))


@pytest.mark.parametrize(
    "text", ['"' * 1_999, "(" * 2_000, "NOT " * 500, '"\\' * 1_000, "a" * 2_000, "=" * 2_000, " " * 2_000]
)
def test_long_nonsense_is_quickly_refused(text: str) -> None:
    began = datetime.now(UTC)
    if text.strip():
        with pytest.raises(InvalidRequest):
            parse_filter(text)
    assert datetime.now(UTC) - began < timedelta(seconds=1)


@given(st.text(min_size=1, max_size=4), st.text(max_size=6))
def test_the_end_of_a_prefix_is_behind_what_begins_so_and_before_all_else(prefix: str, other: str) -> None:
    end = end_of_prefix(prefix)
    for text in (prefix + other, other):
        is_between = prefix.encode() <= text.encode() and (not end or text.encode() < end.encode())
        assert is_between == text.startswith(prefix)


def test_a_search_is_folded_as_names_are() -> None:
    assert fold_search("  Ada \t LOVELACE ") == "ada lovelace"
    with pytest.raises(InvalidRequest, match="search: must not contain a NUL"):
        fold_search("a\0")


def test_the_end_of_a_prefix_is_encodable_text() -> None:
    assert end_of_prefix("a\ud7ff") == "a\ue000"
    assert end_of_prefix("a\U0010ffff") == "b"
    assert end_of_prefix("\U0010ffff") == ""
