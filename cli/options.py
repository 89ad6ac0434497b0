"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def tenant_option(command: Command) -> Command:
    """`--tenant`."""
    return click.option("--tenant", help="Act for this tenant; for the bootstrap key.")(command)


def json_option(command: Command) -> Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)
