"""Options and arguments that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

PAGE_MAX = 1_000
"""One page of anything that is listed."""


class Text(click.ParamType[str]):
    """Any text."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuses what the terminal sent that is not UTF-8."""
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail(f"{value!r} is not UTF-8", param, ctx)
        return str(value)


class Lead(Text):
    """A lead's id: any text."""

    name = "lead"


def tenant_option(command: Command) -> Command:
    """`--tenant`."""
    return click.option("--tenant", help="Act for this tenant; for the bootstrap key.")(command)


def json_option(command: Command) -> Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def number_option(what: str) -> Callable[[Command], Command]:
    """`--number`: how many of something are listed."""
    meaning = f"How many {what}; default 50."
    return click.option("-n", "--number", default=50, type=click.IntRange(1, PAGE_MAX), help=meaning)
