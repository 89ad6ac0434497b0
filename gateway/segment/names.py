"""From names of Segment's events to types of ours."""

import re
import unicodedata
from functools import lru_cache

LENGTH_MAX = 64
"""Of a type, as the contract has it."""
PREFIX = "event_"
"""For names that begin with a digit: a type begins with a letter."""
NAMES_KEPT_MAX = 4_096
"""Few names make up most events; each is worked out once."""

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9 _-]*")
_FOREIGN = re.compile(r"[^A-Za-z0-9 _-]+")


@lru_cache(NAMES_KEPT_MAX)
def type_of(name: str) -> str:
    """The type for a name; empty if the name holds nothing that a type can hold.

    A name that can be a type stays as it is. Of another one, letters lose their accents, whatever else is foreign
    becomes an underscore, and what is too long is cut.
    """
    if len(name) <= LENGTH_MAX and _TYPE.fullmatch(name):
        return name
    letters = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    plain = _FOREIGN.sub("_", letters).strip(" _-")
    if plain and not plain[0].isalpha():
        plain = PREFIX + plain
    return plain[:LENGTH_MAX].rstrip(" _-")
