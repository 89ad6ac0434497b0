"""JSON documents as they come in, before anyone knows what they should say."""

import json
from typing import Any

from services.shared.errors import FieldViolation, InvalidRequest

BYTE_ORDER_MARK = "\ufeff"
"""Some editors and shells put it before a file; it says nothing."""


class Repeated(dict[str, Any]):
    """Stands for an object in which a key stands twice. It is no `dict` to whoever looks at the exact type, so that the
    reader that comes upon it can say where it is.
    """

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key


def parse_json(body: bytes) -> Any:
    """The value in a JSON document. NaN and Infinity come through, and repeated keys as Repeated: the fields that meet
    them refuse them by name. Raises InvalidRequest for what is not JSON in UTF-8.
    """
    try:
        text = body.decode().removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise malformed(f"the body is not UTF-8, from byte {error.start} on") from None
    if not text.strip():
        raise malformed("the body is empty; a JSON document is expected")
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at").lower()
        raise malformed(f"the body is not JSON: {what} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise malformed("the body is nested too deeply") from None
    except ValueError:  # Python's own limit, which keeps the conversion from taking minutes.
        raise malformed("the body has a number of more than 4300 digits") from None


def malformed(description: str) -> InvalidRequest:
    """The error for a body as a whole."""
    return InvalidRequest([FieldViolation("", description)])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    keys = [key for key, _ in pairs]
    return Repeated(next(key for index, key in enumerate(keys) if key in keys[:index]))
