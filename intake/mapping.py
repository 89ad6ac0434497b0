"""How a foreign file is to be read: which column holds which field, what its types are called here, its time zone.

As JSON, every key optional:

    {"columns": {"lead_id": "user_id", "occurred_at": "ts"}, "types": {"Order Completed": "purchase"},
     "timezone": "Europe/Berlin", "properties": "none", "format": "csv", "delimiter": ";"}

- `columns`: the column (or JSON key) of a field. Fields that are not named are looked for under their own names, in
  snake_case and lowerCamelCase. A field mapped to "" is taken to be absent, even if a column has its name.
- `types`: exact names of types in the file, and what they are called here. Others stay as they are.
- `timezone`: for times without an offset; an IANA name. Default UTC.
- `properties`: which columns that hold no field become properties of the event: "rest" (all, the default), "none", or a
  list of columns. An object in the column `properties` gives its own entries; failing such a column, `metadata` does.
- `format` ("csv", "json", "ndjson") and `delimiter` (one of , ; tab |): recognised if they are not given.
"""

import json
import re
from collections.abc import Iterable
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from intake.errors import MappingRefused

FIELDS: dict[str, tuple[str, ...]] = {
    "event_id": ("event_id", "eventId"),
    "lead_id": ("lead_id", "leadId"),
    "type": ("type",),
    "occurred_at": ("occurred_at", "occurredAt"),
    "source": ("source",),
    "properties": ("properties",),
}
"""The fields of an event, each with the names under which it is found without a mapping."""
REQUIRED = ("lead_id", "type")
METADATA = "metadata"
"""Where many exports keep what we call properties."""
FORMATS = ("csv", "json", "ndjson")
DELIMITERS = (",", ";", "\t", "|")

_FIELD_OF = {name: field_name for field_name, names in FIELDS.items() for name in names}
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,63}")
"""As the contract has it; refused here, it is refused once and not with every row."""


@dataclass(frozen=True)
class Mapping:
    """How a foreign file is to be read. Without arguments: under our own names."""

    columns: AnyMapping[str, str] = field(default_factory=dict)
    types: AnyMapping[str, str] = field(default_factory=dict)
    zone: tzinfo = UTC
    kept: frozenset[str] | None = None
    """The columns that become properties; None for all that hold no field."""
    format: str = ""
    delimiter: str = ""

    def keeps(self, column: str) -> bool:
        """Whether a column that holds no field becomes a property."""
        return self.kept is None or column in self.kept


def parse_mapping(document: bytes | str) -> Mapping:
    """A mapping from JSON. Raises MappingRefused, naming what is wrong."""
    try:
        found = json.loads(document, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise MappingRefused(f"the mapping is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise MappingRefused("the mapping must be a JSON object")
    known = ("columns", "types", "timezone", "properties", "format", "delimiter")
    if unknown := [key for key in found if key not in known]:
        raise MappingRefused(f"the mapping has no key {_listed(unknown)}; there are {_listed(known)}")
    return build_mapping(**found)


def build_mapping(
    *,
    columns: AnyMapping[str, str] | None = None,
    types: AnyMapping[str, str] | None = None,
    timezone: str = "UTC",
    properties: str | list[str] = "rest",
    format: str = "",
    delimiter: str = "",
) -> Mapping:
    """A mapping from its parts, see above. Raises MappingRefused, naming what is wrong."""
    return Mapping(
        columns=_columns(_texts("columns", {} if columns is None else columns)),
        types=_types(_texts("types", {} if types is None else types)),
        zone=_zone(timezone),
        kept=_kept(properties),
        format=_one_of("format", format, FORMATS),
        delimiter=_one_of("delimiter", delimiter, DELIMITERS),
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise MappingRefused(f"a key of the mapping stands twice, among {_listed(found)}")
    return found


def _texts(part: str, given: object) -> dict[str, str]:
    if not isinstance(given, AnyMapping):
        raise MappingRefused(f"{part!r} of the mapping must be an object")
    for key, value in given.items():
        if not isinstance(value, str):
            raise MappingRefused(f"{part!r} of the mapping: {key!r} must be given as text")
    return dict(given)


def _columns(given: dict[str, str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for name, column in given.items():
        field_name = _FIELD_OF.get(name)
        if field_name is None:
            raise MappingRefused(f"an event has no field {name!r} to map; its fields are {_listed(FIELDS)}")
        if field_name in columns:
            raise MappingRefused(f"the field {field_name!r} is mapped twice")
        if not column and field_name in REQUIRED:
            raise MappingRefused(f"the field {field_name!r} is needed; name the column that holds it")
        columns[field_name] = column
    return columns


def _types(given: dict[str, str]) -> dict[str, str]:
    for foreign, ours in given.items():
        if not _TYPE.fullmatch(ours):
            raise MappingRefused(
                f"the type {foreign!r} is mapped to {ours!r}, which cannot be a type: it must start with a letter and "
                "hold at most 64 letters, digits, spaces, dashes and underscores"
            )
    return given


def _zone(name: object) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(str(name))
    except (LookupError, ValueError, OSError):
        raise MappingRefused(f"there is no time zone {name!r}; give an IANA name such as 'Europe/Berlin'") from None


def _kept(properties: object) -> frozenset[str] | None:
    if properties == "rest":
        return None
    if properties == "none":
        return frozenset()
    if isinstance(properties, list) and all(isinstance(each, str) for each in properties):
        return frozenset(properties)
    raise MappingRefused('\'properties\' of the mapping must be "rest", "none" or a list of columns')


def _one_of(part: str, given: object, choices: tuple[str, ...]) -> str:
    if not isinstance(given, str) or (given and given not in choices):
        raise MappingRefused(f"{part!r} of the mapping must be one of {_listed(choices)}, not {given!r}")
    return given


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
