"""What is wrong with a JSON document, and where: paths such as `events[3].occurredAt`."""

from typing import Any

from gateway.json_text import Repeated
from services.shared.errors import FieldViolation, InvalidRequest

FAULTS_MAX = 100
"""Faults named in one answer; a client that sends more than that has read none of them."""
NAME_SHOWN_MAX = 64
"""Characters of a name that a caller made up."""
HALF_A_PAIR = "contains half of a surrogate pair, which is no character"
TOO_DEEP = "is nested too deeply"


class Fault(Exception):
    """Values that their fields cannot take, each with the path to it. A fault on its way out gets a step longer at
    every level.
    """

    def __init__(self, description: str, path: str = "") -> None:
        super().__init__(description)
        self.found = [(path, description)]

    @classmethod
    def all(cls, found: list[tuple[str, str]]) -> "Fault":
        """Several as one."""
        fault = cls("")
        fault.found = found
        return fault

    def behind(self, step: str) -> list[tuple[str, str]]:
        """What was found, as one level further out sees it."""
        return [(step + path, description) for path, description in self.found]

    def refusal(self, start: str = "") -> InvalidRequest:
        """The same as an error of the request, with paths that begin at `start`."""
        found = self.behind(start)[:FAULTS_MAX]
        return InvalidRequest([FieldViolation(path.removeprefix("."), description) for path, description in found])


def wrong_kind(value: Any, wanted: str) -> Fault:
    """The fault of a value that is not of the kind that its field takes."""
    if isinstance(value, Repeated):
        return Fault("stands twice in one object", f".{shown(value.key)}")
    return Fault(f"must be {wanted}, not {_kind(value)}")


def shown(name: str) -> str:
    """A name that a caller made up: cut, and without characters that cannot be shown."""
    cut = name[:NAME_SHOWN_MAX]
    return cut if cut.isprintable() else cut.encode("unicode_escape").decode()


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
