"""Path templates of the contract (`/v1/leads/{lead_id}/history`), matched against a path as it was sent.

A variable is one segment, perhaps with a verb behind it (`/v1/drafts/{draft_id}:publish`). A path is decoded only after
it was split: a lead id may hold a slash, a plus or an umlaut. An id that itself ends in a colon and a verb is sent with
its colon as %3A.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

VARIABLE = re.compile(r"\{([a-z0-9_.]+)\}(:[A-Za-z]+)?")


class UndecodablePath(ValueError):
    """A segment is not UTF-8 when it is decoded."""


@dataclass(frozen=True)
class Variable:
    """A segment that sets a field, up to the verb behind it."""

    field: str
    verb: str


@dataclass(frozen=True)
class Template:
    """A path template, taken apart."""

    text: str
    segments: tuple[str | Variable, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """The fields that the path sets."""
        return tuple(segment.field for segment in self.segments if isinstance(segment, Variable))

    @property
    def precedence(self) -> tuple[int, ...]:
        """Sorts templates so that what is said in so many words goes before what a variable could be."""
        return tuple(0 if isinstance(each, str) else 1 if each.verb else 2 for each in self.segments)

    def match(self, sent: list[bytes]) -> dict[str, str] | None:
        """The variables of a path that was sent, as decoded text; None if it is not of this template. Raises
        UndecodablePath.
        """
        if len(sent) != len(self.segments):
            return None
        found = {}
        for segment, raw in zip(self.segments, sent, strict=True):
            if isinstance(segment, str):
                if unquote_to_bytes(raw) != segment.encode():
                    return None
            else:
                value = raw.removesuffix(segment.verb.encode())
                if not value or (segment.verb and value == raw):
                    return None
                found[segment.field] = value
        return {field: _decoded(value) for field, value in found.items()}


def parse_template(text: str) -> Template:
    """A template of the contract."""
    return Template(text, tuple(_segment(each) for each in text.split("/")))


def split_path(raw_path: bytes) -> list[bytes]:
    """The segments of a path, as they were sent."""
    return raw_path.split(b"/")


def _segment(text: str) -> str | Variable:
    if "{" not in text:
        return text
    found = VARIABLE.fullmatch(text)
    assert found is not None, f"a variable must be one segment, perhaps with a verb behind it, not {text}"
    return Variable(found[1], found[2] or "")


def _decoded(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise UndecodablePath("the path is not UTF-8") from None
