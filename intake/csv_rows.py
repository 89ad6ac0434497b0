"""CSV as in RFC 4180, pushed in as bytes: quoted delimiters, doubled quotes, line breaks inside quotes, LF and CRLF.

The standard library's reader does the work; around it stands what it lacks: input in portions, a bound, and a way to
go on. A row that is broken (an open quote, text behind a closing quote) is refused by the line on which it starts, and
reading goes on with the line after that one, so that an open quote costs one row and not the rest of the file.
"""

import csv
import io
from collections.abc import Iterator

from intake.rows import ROW_CHARACTERS_MAX, RejectedRow, refuse_row

Found = tuple[int, list[str]] | RejectedRow

UTF8_BYTES_PER_CHARACTER_MAX = 4
LINE_BYTES_MAX = ROW_CHARACTERS_MAX * UTF8_BYTES_PER_CHARACTER_MAX
"""So many bytes without a line break are more characters than a row may have, whatever they are."""


class CsvRows:
    """Finds the rows in CSV bytes. The header is the first row that it yields. Blank lines are passed over.

    Bytes that are not UTF-8 come out as lone surrogates, which no text of an event can hold.
    """

    def __init__(self, delimiter: str) -> None:
        self._lines = _Lines()
        self._reader = csv.reader(self._lines, delimiter=delimiter, strict=True)
        self._line_number = 1
        self._unfinished = b""
        self._dropping = False
        self._scanned_to = 0

    def feed(self, block: bytes) -> Iterator[Found]:
        """The rows that `block` completes."""
        complete, newline, rest = (self._unfinished + block).rpartition(b"\n")
        self._add_lines(complete + newline)
        self._unfinished = b"" if self._dropping else rest
        if len(self._unfinished) > LINE_BYTES_MAX:
            self._add_lines(self._unfinished)
            self._unfinished = b""
            self._dropping = True
        yield from self._rows(final=False)

    def finish(self) -> Iterator[Found]:
        """The rows left when the file is at its end; the last line need not be ended."""
        self._add_lines(self._unfinished)
        self._unfinished = b""
        yield from self._rows(final=True)

    def _add_lines(self, data: bytes) -> None:
        """Adds whole lines; of a line that was added when it had become too long, the rest is dropped."""
        if self._dropping and data:
            data = data[data.index(b"\n") + 1 :]
            self._dropping = False
        text = data.decode("utf-8", "surrogateescape")
        # Split at LF alone: other characters that some call line breaks are part of the text.
        self._lines.add(io.StringIO(text, newline="\n").readlines())

    def _rows(self, *, final: bool) -> Iterator[Found]:
        lines, reader = self._lines, self._reader
        while True:
            start = lines.begin_row()
            try:
                fields = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                if lines.ran_out and not final:
                    lines.go_to(start)
                    break
                yield self._refuse(start, error)
            else:
                if fields:
                    yield self._line_number + start, fields
        self._line_number += lines.forget_read()

    def _refuse(self, start: int, error: csv.Error) -> RejectedRow:
        """Refuses the row that started at line `start` and broke, and goes back to the line after it.

        Going back is allowed once over the same lines. Without that, a file could be written in which every line
        swallows all that follow up to the bound, and reading it would take hours; a row that breaks in lines gone over
        before takes them along.
        """
        first, broken = self._line_number + start, self._lines.broken_at()
        description = _describe(error, self._line_number + broken if broken > start else None)
        if broken > start and first < self._scanned_to:
            self._lines.go_to(broken)
            description += f"; refused up to line {self._line_number + broken - 1}"
        else:
            self._lines.go_to(start + 1)
        self._scanned_to = max(self._scanned_to, self._line_number + broken)
        return refuse_row(first, "", description)


def _describe(error: csv.Error, broken_later: int | None) -> str:
    if isinstance(error, _RowTooLong):
        return f"is longer than {ROW_CHARACTERS_MAX} characters, or a quote in it is not closed"
    if broken_later is not None:
        return f"a quote in it is not closed, or closed wrongly in line {broken_later}"
    if str(error).startswith("new-line character"):
        return "holds a carriage return outside quotes"
    return f"is not CSV: {error}"


class _RowTooLong(csv.Error):
    """The row does not end within the bound."""


class _Lines:
    """The lines that the reader reads, with a way back."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._next = 0
        self._room = 0
        self.ran_out = False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self._next == len(self._lines):
            self.ran_out = True
            raise StopIteration
        line = self._lines[self._next]
        self._next += 1
        self._room -= len(line)
        if self._room < 0:
            raise _RowTooLong
        return line

    def add(self, lines: list[str]) -> None:
        self._lines += lines

    def begin_row(self) -> int:
        """The line on which the next row starts."""
        self._room = ROW_CHARACTERS_MAX
        self.ran_out = False
        return self._next

    def broken_at(self) -> int:
        """The line that showed that the row is broken; the one after the last if it was the end of the file."""
        return self._next if self.ran_out else self._next - 1

    def go_to(self, line: int) -> None:
        self._next = line

    def forget_read(self) -> int:
        """Forgets the lines that are read, and answers how many they were."""
        read = self._next
        del self._lines[:read]
        self._next = 0
        return read
