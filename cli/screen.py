"""Where the commands print their tables."""

import sys

from rich.console import Console

PIPE_WIDTH = 500
"""Ids are not folded for programs that read line by line."""


def screen() -> Console:
    """Standard output: as wide as the terminal, or wide enough for every row to be one line."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
