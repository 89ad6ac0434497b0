"""Path templates of the contract (`/v1/leads/{lead_id}/history`), matched against a path as it was sent.

A variable is one segment, decoded only after the path was split: a lead id may hold a slash, a plus or an umlaut.
"""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes


class UndecodablePath(ValueError):
    """A segment is not UTF-8 when it is decoded."""


@dataclass(frozen=True)
class Template:
    """A path template, taken apart: literal segments, and variables as the fields that they set."""

    text: str
    segments: tuple[str, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """The fields that the path sets."""
        return tuple(segment[1:-1] for segment in self.segments if _is_variable(segment))

    def match(self, sent: tuple[str, ...]) -> dict[str, str] | None:
        """The variables of a path that was sent, as decoded text; None if it is not of this template."""
        if len(sent) != len(self.segments):
            return None
        found = {}
        for segment, given in zip(self.segments, sent, strict=True):
            if _is_variable(segment):
                if not given:
                    return None
                found[segment[1:-1]] = given
            elif segment != given:
                return None
        return found


def parse_template(text: str) -> Template:
    """A template of the contract. Variables are whole segments."""
    return Template(text, tuple(text.split("/")))


def split_path(raw_path: bytes) -> tuple[str, ...]:
    """The segments of a path as it was sent, each decoded. Raises UndecodablePath."""
    try:
        return tuple(unquote_to_bytes(segment).decode() for segment in raw_path.split(b"/"))
    except UnicodeDecodeError:
        raise UndecodablePath("the path is not UTF-8") from None


def _is_variable(segment: str) -> bool:
    return segment.startswith("{")
