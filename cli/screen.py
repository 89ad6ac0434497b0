"""Where the commands print their tables, their progress, and what is for programs."""

import json
import sys
from collections.abc import Sequence

import click
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

PIPE_WIDTH = 500
"""Ids are not folded for programs that read line by line."""

CONTROLS = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""What JSON leaves as it is, and a terminal may take for a command; senders choose what stands in properties."""


def screen() -> Console:
    """Standard output: as wide as the terminal, or wide enough for every row to be one line."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)


def print_json(message: Message) -> None:
    """A message as JSON, every field written out."""
    click.echo(_json(message))


def print_json_list(messages: Sequence[Message]) -> None:
    """Messages as one JSON array."""
    click.echo("[" + ",\n".join(map(_json, messages)) + "]")


def leads_bar(what: str) -> Progress:
    """A bar of leads on standard error, so that standard output holds the result alone. It counts task 0."""
    console = Console(stderr=True)
    count = TextColumn("{task.completed:,.0f} of {task.total:,.0f} leads")
    columns = (TextColumn(what), BarColumn(), count, TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    bar.add_task(what, total=0)
    return bar


def on_one_line(properties: Struct) -> str:
    """Properties for a cell of a table, in the order of their names; empty if there are none."""
    if not properties:
        return ""
    plain = json.loads(MessageToJson(properties), parse_float=_number)
    return json.dumps(plain, sort_keys=True, ensure_ascii=False).translate(CONTROLS)


def _number(text: str) -> float | int:
    """All numbers of properties are doubles; to people 12 is 12."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _json(message: Message) -> str:
    return MessageToJson(message, always_print_fields_with_no_presence=True)
