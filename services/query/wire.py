"""From the database's values to the contract's."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from services.shared.clock import US_PER_S, to_us


def to_timestamp(moment: datetime) -> Timestamp:
    """An aware datetime as a Timestamp, exact."""
    seconds, microseconds = divmod(to_us(moment), US_PER_S)
    return Timestamp(seconds=seconds, nanos=microseconds * 1_000)


def to_struct(values: Mapping[str, Any]) -> Struct:
    """Plain values as a Struct."""
    struct = Struct()
    struct.update(dict(values))
    return struct


def set_times(message: Message, **moments: datetime | None) -> None:
    """Sets the Timestamp fields named, but for those without a time."""
    for name, moment in moments.items():
        if moment is not None:
            getattr(message, name).CopyFrom(to_timestamp(moment))
