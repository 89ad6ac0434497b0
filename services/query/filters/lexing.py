"""A filter's text as tokens. Each character is looked at a bounded number of times, whatever the text."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from services.query.filters.tree import wrong

SHOWN_LENGTH_MAX = 40
"""Of a part that an error names."""

_TOKEN = re.compile(
    r"""
      (?P<open> \( )
    | (?P<close> \) )
    | (?P<operator> != | <= | >= | = | < | > )
    | (?P<text> " (?: [^"\\] | \\. )* " | ' (?: [^'\\] | \\. )* ' )
    | (?P<word> [^\s()=<>!"']+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE = re.compile(r"\s*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
ESCAPED = "\"'\\*"
"""What a backslash may stand before."""


class Kind(Enum):
    """What a token is."""

    OPEN = auto()
    CLOSE = auto()
    OPERATOR = auto()
    TEXT = auto()
    WORD = auto()
    END = auto()


@dataclass(frozen=True)
class Token:
    """A part of a filter."""

    kind: Kind
    raw: str
    """As it was written."""
    column: int
    """Where it begins, from 1."""
    text: str
    """What it stands for: without quotes, escapes, and the star of a beginning."""
    is_beginning: bool

    @property
    def shown(self) -> str:
        """The part for an error."""
        if self.kind is Kind.END:
            return "the end"
        return self.raw if len(self.raw) <= SHOWN_LENGTH_MAX else f"{self.raw[:SHOWN_LENGTH_MAX]}..."

    def is_word(self, word: str) -> bool:
        """Whether it is this word, and not in quotes."""
        return self.kind is Kind.WORD and self.raw == word


def tokens_of(text: str) -> list[Token]:
    """The tokens of a filter, the last one its end. Raises InvalidRequest."""
    if "\0" in text:
        raise wrong(text.index("\0") + 1, "a NUL is in no text")
    tokens = []
    position = _end_of_space(text, 0)
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise wrong(position + 1, _no_token(text[position]))
        tokens.append(_token(Kind[str(found.lastgroup).upper()], found.group(), position + 1))
        position = _end_of_space(text, found.end())
    return [*tokens, Token(Kind.END, "", len(text) + 1, "", False)]


def _end_of_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _no_token(character: str) -> str:
    return "! must be followed by =" if character == "!" else "the text in quotes does not end"


def _token(kind: Kind, raw: str, column: int) -> Token:
    if kind is Kind.TEXT:
        return _quoted(raw, column)
    is_beginning = kind is Kind.WORD and raw.endswith("*")
    return Token(kind, raw, column, raw[:-1] if is_beginning else raw, is_beginning)


def _quoted(raw: str, column: int) -> Token:
    for escape in _ESCAPE.finditer(raw):
        if escape[1] not in ESCAPED:
            raise wrong(column + escape.start(), f"a backslash stands before one of {' '.join(ESCAPED)} only")
    inner = raw[1:-1]
    before_star = inner[:-1]
    escapes_star = (len(before_star) - len(before_star.rstrip("\\"))) % 2 == 1
    is_beginning = inner.endswith("*") and not escapes_star
    return Token(Kind.TEXT, raw, column, _ESCAPE.sub(r"\1", before_star if is_beginning else inner), is_beginning)
