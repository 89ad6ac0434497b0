"""The rows of a file that were refused: the first few for the screen, all of them for a file."""

import csv
from contextlib import ExitStack
from pathlib import Path

import click

from intake.rows import RejectedRow

SHOWN_MAX = 10
HEADER = ("row", "field", "description")


class Refused:
    """Notes refused rows as they are found; a row with several faults comes several times."""

    def __init__(self, path: Path | None, stack: ExitStack) -> None:
        """Also writes them to the CSV file `path`, which is closed with `stack`."""
        self.first: list[RejectedRow] = []
        self._path = path
        if path is None:
            return
        try:
            self._writer = csv.writer(stack.enter_context(path.open("w", newline="", encoding="utf-8")))
        except OSError as error:
            raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
        self._writer.writerow(HEADER)

    def add(self, row: RejectedRow) -> None:
        """Notes a fault of a row."""
        if len(self.first) < SHOWN_MAX:
            self.first.append(row)
        if self._path is not None:
            self._writer.writerow([row.row, row.field, row.description])

    @property
    def count_shown(self) -> int:
        """How many rows `first` is about."""
        return len({row.row for row in self.first})

    @property
    def where_all_are(self) -> str:
        """Where to look for the rest."""
        return f"{self._path} has them all" if self._path is not None else "--errors FILE writes them all to a file"
