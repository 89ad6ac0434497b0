"""What a row is, before it is an event."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, TypeVar

ROW_CHARACTERS_MAX = 64 * 1024
"""A row longer than this is refused: twice the largest event, and what an open quote may swallow of a file."""

FIELD_CHARACTERS_MAX = 200
DESCRIPTION_CHARACTERS_MAX = 500
"""Of what is kept about a refused row; values that it quotes are the sender's and may be anything."""

Values = TypeVar("Values", covariant=True)


class RejectedRow(NamedTuple):
    """Why a row was refused. `row` is its number in the file: for CSV the line on which it starts (the header is line
    1), for NDJSON the line, for JSON the element, from 1. `field` is the event's field, empty if the row as a whole is
    meant.
    """

    row: int
    field: str
    description: str


def refuse_row(row: int, field: str, description: str) -> RejectedRow:
    """A refused row whose texts can be shown and stored anywhere: cut, and control characters escaped."""
    return RejectedRow(row, printable(field, FIELD_CHARACTERS_MAX), printable(description, DESCRIPTION_CHARACTERS_MAX))


def printable(text: str, characters_max: int) -> str:
    """A text that can be shown and stored anywhere: cut, control characters and lone surrogates escaped."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text[:characters_max])
    return text[:characters_max]


class RowReader(Protocol[Values]):
    """Finds the rows in bytes that are pushed into it, in any portions. Yields each row with its number, or why it was
    refused, in the order of the file. May raise FileRefused when nothing behind this point can be read.
    """

    def feed(self, block: bytes) -> Iterator[tuple[int, Values] | RejectedRow]:
        """The rows that `block` completes."""

    def finish(self) -> Iterator[tuple[int, Values] | RejectedRow]:
        """The rows left when the file is at its end."""
