"""NDJSON (an object on each line) and JSON (an array of objects, or objects one after the other), pushed in as bytes.

Each object is found first and decoded by itself, so no more than one row is ever held, and a broken one costs itself.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from intake.errors import FileRefused, RowRefused
from intake.rows import ROW_CHARACTERS_MAX, RejectedRow, refuse_row

Object = dict[str, Any]
Found = tuple[int, Object] | RejectedRow

ROW_BYTES_MAX = ROW_CHARACTERS_MAX
LEVELS_MAX = 16
"""Of nesting in a row; twice what an event may have. A message of many more could not be parsed by the service."""

SPACE = b" \t\r\n"
_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"'
_SPACED_COLON = re.compile(rb'"[ \t\r\n]+:')
_decoder = msgspec.json.Decoder(dict[str, Any])


def decode_object(text: bytes) -> Object:
    """One JSON object. Raises RowRefused for what is none, and for a key that stands twice: which one was meant?"""
    try:
        decoded = _decoder.decode(text)
    except RecursionError:
        raise RowRefused("", f"is nested deeper than {LEVELS_MAX} levels") from None
    except UnicodeDecodeError:
        raise RowRefused("", "is not UTF-8 text") from None
    except msgspec.ValidationError as error:
        raise RowRefused("", f"must be a JSON object: {error}") from None
    except msgspec.DecodeError as error:
        raise RowRefused("", f"is not JSON: {error}") from None
    if text.count(b'":') != _count_keys(decoded, LEVELS_MAX) or _SPACED_COLON.search(text):
        _pairs_decoder.decode(text.decode())
    return decoded


def _count_keys(value: Object | list[Any], levels: int) -> int:
    """How many keys a decoded value has. If its text has as many `":`, none of them stands twice."""
    if levels == 0:
        raise RowRefused("", f"is nested deeper than {LEVELS_MAX} levels")
    if isinstance(value, list):
        return sum(_count_keys(each, levels - 1) for each in value if isinstance(each, (dict, list)))
    count = len(value)
    for each in value.values():
        if isinstance(each, (dict, list)):
            count += _count_keys(each, levels - 1)
    return count


def _unique(pairs: list[tuple[str, Any]]) -> Object:
    found: Object = {}
    for key, value in pairs:
        if key in found:
            raise RowRefused(key, "stands twice in one object")
        found[key] = value
    return found


_pairs_decoder = json.JSONDecoder(object_pairs_hook=_unique)


def _decode_row(number: int, text: bytes) -> Found:
    try:
        return number, decode_object(text)
    except RowRefused as refused:
        return refuse_row(number, refused.field, refused.description)


class NdjsonRows:
    """Finds the objects in NDJSON bytes. Blank lines are passed over."""

    def __init__(self) -> None:
        self._line_number = 0
        self._unfinished = b""

    def feed(self, block: bytes) -> Iterator[Found]:
        """The rows that `block` completes."""
        *complete, unfinished = (self._unfinished + block).split(b"\n")
        for line in complete:
            yield from self._row(line)
        # One byte too many is enough to be refused; of the rest, all that matters is where it ends.
        self._unfinished = unfinished[: ROW_BYTES_MAX + 1]

    def finish(self) -> Iterator[Found]:
        """The row left when the file is at its end; the last line need not be ended."""
        yield from self._row(self._unfinished)

    def _row(self, line: bytes) -> Iterator[Found]:
        self._line_number += 1
        if len(line) > ROW_BYTES_MAX:
            yield refuse_row(self._line_number, "", f"is longer than {ROW_BYTES_MAX} bytes")
        elif text := line.strip(SPACE):
            yield _decode_row(self._line_number, text)


def _nested(levels: int) -> bytes:
    """A pattern for an object or array of at most so many levels. It only pairs brackets and passes over strings;
    whether it is JSON, the decoder says. Nothing in it is tried twice, so its cost grows with the length alone.
    """
    content = rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+"
    for _ in range(levels - 1):
        content = rb'(?:[^"{}\[\]]++|' + _STRING + rb"|[\[{]" + content + rb"[}\]])*+"
    return rb"\{" + content + rb"\}|\[" + content + rb"\]"


_BETWEEN = re.compile(rb"[ \t\r\n,]*+")
_ELEMENT = re.compile(_nested(LEVELS_MAX) + rb"|" + _STRING + rb'|[^ \t\r\n,\[\]{}"]++(?=[ \t\r\n,\]])')
"""A value up to its end. One that is no object is found too, and refused by the decoder."""
_NEXT_OBJECT = re.compile(rb"(?:\}[ \t\r\n]*+,|\n)[ \t\r\n]*+(?=\{)")
"""Where reading can go on behind a broken element: an object that begins a line or follows another one."""


class JsonRows:
    """Finds the objects in JSON bytes: the elements of an array, or objects one after the other.

    Behind a broken element reading goes on with the next object that begins a line or follows `},`.
    """

    def __init__(self) -> None:
        self._text = b""
        self._at = 0
        self._element_number = 0
        self._in_array: bool | None = None
        self._ended = False
        self._broken = False

    def feed(self, block: bytes) -> Iterator[Found]:
        """The rows that `block` completes. Raises FileRefused for text behind the array."""
        self._text = self._text[self._at :] + block
        self._at = 0
        yield from self._rows(final=False)

    def finish(self) -> Iterator[Found]:
        """The rows left when the file is at its end. Raises FileRefused if what is left cannot be read."""
        yield from self._rows(final=True)
        if self._broken or (self._in_array and not self._ended):
            raise FileRefused(f"the JSON is broken or cut off at element {max(1, self._element_number)}")

    def _rows(self, *, final: bool) -> Iterator[Found]:
        while self._go_to_element():
            window_end = self._at + ROW_BYTES_MAX
            match = _ELEMENT.match(self._text, self._at, window_end)
            if match is not None:
                self._element_number += 1
                self._at = match.end()
                yield _decode_row(self._element_number, match.group())
            elif len(self._text) < window_end and not final:
                break
            else:
                self._element_number += 1
                self._broken = True
                description = f"is no JSON value of at most {ROW_BYTES_MAX} bytes and {LEVELS_MAX} levels"
                yield refuse_row(self._element_number, "", description)

    def _go_to_element(self) -> bool:
        """Goes to where the next element begins; False if the text does not reach as far."""
        if self._broken and not self._go_behind_broken():
            return False
        self._at = _between_end(self._text, self._at)
        if self._in_array is None and self._at < len(self._text):
            self._in_array = self._text.startswith(b"[", self._at)
            self._at = _between_end(self._text, self._at + self._in_array)
        if self._in_array and not self._ended and self._text.startswith(b"]", self._at):
            self._ended = True
            self._at = _between_end(self._text, self._at + 1)
        more = self._at < len(self._text)
        if more and self._ended:
            raise FileRefused(f"there is text behind the end of the JSON array of {self._element_number} elements")
        return more

    def _go_behind_broken(self) -> bool:
        match = _NEXT_OBJECT.search(self._text, self._at)
        if match is None:
            self._text = _resumable_end(self._text[self._at :])
            self._at = 0
            return False
        self._at = match.end()
        self._broken = False
        return True


def _between_end(text: bytes, at: int) -> int:
    match = _BETWEEN.match(text, at)
    assert match is not None, "the pattern matches nothing, too"
    return match.end()


def _resumable_end(text: bytes) -> bytes:
    """What must be kept of broken text, so that a place to go on is found that begins in it: "}," and a line break."""
    content = text.rstrip(SPACE)
    line_break = b"\n" if b"\n" in text[len(content) :] else b""
    if content.endswith(b",") and content[:-1].rstrip(SPACE).endswith(b"}"):
        return b"}," + line_break
    return content[-1:] + line_break
