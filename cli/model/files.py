"""Reads model files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click
from leadscore.model.v1 import model_pb2

from cli.model.definition import Fault, Reading
from cli.model.faults import Refused
from cli.model.tree import BYTES_MAX, Unreadable, read_json, read_yaml

JSON = ".json"
PATH = click.Path(exists=True, dir_okay=False, path_type=Path)
"""A file that a command is given."""


@dataclass(frozen=True)
class ModelFile:
    """A definition, what its file is called, and the line of each of its fields by the field's path."""

    name: str
    definition: model_pb2.ModelDefinition
    lines: Mapping[str, int] = field(default_factory=dict)


def read_file(path: Path) -> ModelFile:
    """The model of a YAML file, or of a JSON file if its name says so. Raises Refused with all that is wrong."""
    try:
        reading = Reading((read_json if path.suffix.lower() == JSON else read_yaml)(_text_of(path)))
    except Unreadable as error:
        raise Refused(str(path), [Fault("", error.description, error.line)]) from None
    if reading.faults:
        raise Refused(str(path), reading.faults)
    return ModelFile(str(path), reading.definition, reading.lines)


def _text_of(path: Path) -> str:
    """The text. Reads no more than a model may have: a path may lead to anything."""
    try:
        with path.open("rb") as opened:
            content = opened.read(BYTES_MAX + 1)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > BYTES_MAX:
        raise Unreadable(f"the file is larger than {BYTES_MAX >> 10} KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("the file is not UTF-8") from None
