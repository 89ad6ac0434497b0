"""The fields of a filter, and how each wants its values read."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from services.query.filters.lexing import Kind, Token
from services.query.filters.tree import Value, wrong

PROFILE = "profile"
TRUTHS = {"true": True, "false": False}
EXPONENT_MAX = 400
"""More than any number of a profile has, less than the database cannot hold."""

_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,6})?")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _read_text(token: Token, field: str) -> Value:
    return token.text


def _read_number(token: Token, field: str) -> Value:
    text = token.text + "*" * token.is_beginning
    if not _NUMBER.fullmatch(text):
        raise wrong(token.column, f"{field} is compared with a number, not with {token.shown}")
    number = Decimal(text)
    if abs(number.adjusted()) > EXPONENT_MAX:
        raise wrong(token.column, f"{token.shown} is too large or too small")
    return number


def _read_time(token: Token, field: str) -> Value:
    text = token.text + "*" * token.is_beginning
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise wrong(token.column, f"{field} is compared with a time like 2026-10-01T00:00:00Z, not with {token.shown}")


FIELDS: dict[str, Callable[[Token, str], Value]] = {
    "lead_id": _read_text,
    "score": _read_number,
    "machine_score": _read_number,
    "engagement": _read_number,
    "fit": _read_number,
    "grade": _read_text,
    "status": _read_text,
    "owner": _read_text,
    "source": _read_text,
    "version": _read_number,
    "model_version": _read_number,
    "event_count": _read_number,
    "first_event_at": _read_time,
    "last_event_at": _read_time,
    "updated_at": _read_time,
}
TIMES = frozenset(field for field, read in FIELDS.items() if read is _read_time)


def read_value(field: str, operator: Token, token: Token) -> Value:
    """What a token stands for as a value of a field. Raises InvalidRequest."""
    value = _read_profile(token) if field == PROFILE else FIELDS[field](token, field)
    compares_order = operator.text not in ("=", "!=")
    if compares_order and isinstance(value, bool):
        raise wrong(operator.column, f"{token.shown} is compared with = and != only")
    if compares_order and token.is_beginning:
        raise wrong(operator.column, f"a beginning like {token.shown} is compared with = and != only")
    return value


def _read_profile(token: Token) -> Value:
    """Without quotes, a number is a number and true and false are truths; all else is a text."""
    if token.kind is Kind.TEXT or token.is_beginning:
        return token.text
    if token.text in TRUTHS:
        return TRUTHS[token.text]
    return _read_number(token, PROFILE) if _NUMBER.fullmatch(token.text) else token.text
