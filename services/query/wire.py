"""From the database's values to the contract's."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from services.shared.clock import EPOCH

S_PER_DAY = 86_400


def fill_struct(struct: Struct, values: Mapping[str, Any]) -> None:
    """Fills the Struct of a message with plain values; it is there even if there are none."""
    struct.SetInParent()
    fields = struct.fields
    for key, value in values.items():
        if type(value) is str:
            fields[key].string_value = value
        elif type(value) in (int, float):
            fields[key].number_value = value
        else:
            struct[key] = value


def set_times(message: Message, **moments: datetime | None) -> None:
    """Sets the Timestamp fields named, but for those without a time."""
    for name, moment in moments.items():
        if moment is not None:
            # Where it stands: one that is made first takes twice as long.
            since, stamp = moment - EPOCH, getattr(message, name)
            stamp.seconds, stamp.nanos = since.days * S_PER_DAY + since.seconds, since.microseconds * 1_000
