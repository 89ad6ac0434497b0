"""What is wrong with a model, as a list for people or programs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import IO, Any

import click
import grpc

from cli.client import violations_of
from cli.model.definition import Fault, line_of

DEFINITION = "definition"
"""The field of requests that holds the model; people know its own fields only."""


class Refused(click.ClickException):
    """A model that was refused, with every fault. Ends the command with exit code 1."""

    def __init__(self, name: str, faults: Sequence[Fault]) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{name} is refused, {count}:", *(f"  {fault}" for fault in faults)]))
        self.faults = faults


class RefusedJson(click.ClickException):
    """The same for programs: the faults are the command's output."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(json.dumps({"faults": [asdict(fault) for fault in faults]}, indent=2, ensure_ascii=False))

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints them on standard output."""
        click.echo(self.message)


@contextmanager
def faults_as_json(as_json: bool) -> Iterator[None]:
    """Faults that are found in here are told to programs, if one asks."""
    try:
        yield
    except Refused as error:
        raise RefusedJson(error.faults) if as_json else error from None


def faults_in(error: grpc.RpcError, lines: Mapping[str, int]) -> list[Fault]:
    """The faults that a service has found; empty if the call failed for another reason."""
    return [fault_at(each.field, each.description, lines) for each in violations_of(error)]


def fault_at(field: str, description: str, lines: Mapping[str, int]) -> Fault:
    """A fault of a field, with its line."""
    field = field.removeprefix(f"{DEFINITION}.")
    return Fault(field, description, line_of(lines, field))
