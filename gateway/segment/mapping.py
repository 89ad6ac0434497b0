"""What names of Segment's world are called here: the setting LEADSCORE_SEGMENT_MAPPING.

As JSON, both keys optional:

    {"types": {"Order Completed": "purchase"}, "traits": {"companySize": "company_size", "phone": ""}}

- `types`: exact names of events, and the types that they are here; as in the mapping of a file.
- `traits`: traits, and the keys of the profile that they are here. One that is mapped to "" is not kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from intake.errors import MappingRefused
from intake.mapping import build_mapping
from services.shared.errors import SettingError

VARIABLE = "LEADSCORE_SEGMENT_MAPPING"
KEY_LENGTH_MAX = 64
"""Of a profile's key, as the contract has it."""


@dataclass(frozen=True)
class SegmentMapping:
    """What names are called here. Others stay as they are."""

    types: Mapping[str, str] = field(default_factory=dict)
    traits: Mapping[str, str] = field(default_factory=dict)


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    types: dict[str, str] = {}
    traits: dict[str, str] = {}


def parse_segment_mapping(text: str) -> SegmentMapping:
    """The mapping that a setting says; none for an empty one. Raises SettingError, naming what is wrong."""
    if not text:
        return SegmentMapping()
    try:
        written = msgspec.json.decode(text, type=_Written)
        types = build_mapping(types=written.types).types
    except (msgspec.DecodeError, RecursionError) as error:
        raise SettingError(f"{VARIABLE} is not as it must be: {error}") from None
    except MappingRefused as refused:
        raise SettingError(f"{VARIABLE}: {refused.reason}") from None
    for trait, key in written.traits.items():
        if len(key) > KEY_LENGTH_MAX:
            raise SettingError(
                f"{VARIABLE}: the trait {trait!r} is mapped to a key of more than {KEY_LENGTH_MAX} characters"
            )
    return SegmentMapping(types, written.traits)
