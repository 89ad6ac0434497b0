"""What is in an export: its columns, their types, and the order of its rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from leadscore.query.v1 import export_pb2 as contract
from leadscore.score.v1 import score_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from sqlalchemy import ColumnElement, Table, Text, case, func

from services.shared.schema import EVENTS, LEADS, LEDGER, QUARANTINE


class Type(Enum):
    """What a column holds, before it is written."""

    TEXT = auto()
    """Any text; never NULL."""
    WHOLE = auto()
    """A whole number of 32 bits; never NULL."""
    LONG = auto()
    """A whole number of 64 bits; never NULL."""
    TIME = auto()
    """An aware datetime, or NULL."""
    NAME = auto()
    """A number that the contract has a name for; never NULL."""
    JSON = auto()
    """A JSON object or array as text, or NULL."""


@dataclass(frozen=True)
class Column:
    """A column of an export."""

    name: str
    """As in the contract, and in filters: `lead_id`."""
    type: Type
    source: ColumnElement[Any]
    names: Mapping[int, str] | None = None
    """For NAME: the names as REST shows them."""

    @property
    def json_name(self) -> str:
        """As in the JSON of REST: `leadId`."""
        first, *rest = self.name.split("_")
        return first + "".join(part.capitalize() for part in rest)

    def name_of(self, number: int) -> str:
        """The name of a value; a number that has none is its own."""
        assert self.names is not None
        return self.names.get(number, str(number))


@dataclass(frozen=True)
class Sheet:
    """A kind of export whose rows are those of a table."""

    table: Table
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """The columns behind the tenant in the table's primary key: the order of the rows."""

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]


def _of(table: Table, name: str, kind: Type, enum: EnumDescriptor | None = None) -> Column:
    source: ColumnElement[Any] = table.c[name]
    if kind is Type.JSON:
        # As PostgreSQL writes it: nothing is gained by parsing it here to write it again.
        source = source.cast(Text)
    return Column(name, kind, source, names_of(enum) if enum is not None else None)


def names_of(enum: EnumDescriptor) -> dict[int, str]:
    """The names of an enum's values without the prefix that all of them share."""
    prefix = str(enum.values[0].name).removesuffix("UNSPECIFIED")
    return {value.number: str(value.name).removeprefix(prefix) for value in enum.values}


# What is no event has a type that starts with a dollar sign and says what it is.
_KIND = case((QUARANTINE.c.type.startswith("$"), func.substr(QUARANTINE.c.type, 2)), else_="event")

SHEETS: dict[int, Sheet] = {
    contract.EXPORT_KIND_LEADS: Sheet(
        LEADS,
        (
            _of(LEADS, "lead_id", Type.TEXT),
            _of(LEADS, "score", Type.WHOLE),
            _of(LEADS, "grade", Type.TEXT),
            _of(LEADS, "engagement", Type.WHOLE),
            _of(LEADS, "fit", Type.WHOLE),
            _of(LEADS, "machine_score", Type.WHOLE),
            _of(LEADS, "status", Type.TEXT),
            _of(LEADS, "owner", Type.TEXT),
            _of(LEADS, "source", Type.TEXT),
            _of(LEADS, "version", Type.LONG),
            _of(LEADS, "model_version", Type.WHOLE),
            _of(LEADS, "event_count", Type.LONG),
            _of(LEADS, "first_event_at", Type.TIME),
            _of(LEADS, "last_event_at", Type.TIME),
            _of(LEADS, "updated_at", Type.TIME),
            _of(LEADS, "profile", Type.JSON),
        ),
        ("lead_id",),
    ),
    contract.EXPORT_KIND_EVENTS: Sheet(
        EVENTS,
        (
            _of(EVENTS, "event_id", Type.TEXT),
            _of(EVENTS, "lead_id", Type.TEXT),
            _of(EVENTS, "type", Type.TEXT),
            _of(EVENTS, "occurred_at", Type.TIME),
            _of(EVENTS, "received_at", Type.TIME),
            _of(EVENTS, "source", Type.TEXT),
            _of(EVENTS, "properties", Type.JSON),
        ),
        ("event_id",),
    ),
    contract.EXPORT_KIND_LEDGER: Sheet(
        LEDGER,
        (
            _of(LEDGER, "lead_id", Type.TEXT),
            _of(LEDGER, "sequence", Type.LONG),
            _of(LEDGER, "delta", Type.WHOLE),
            _of(LEDGER, "score_before", Type.WHOLE),
            _of(LEDGER, "score_after", Type.WHOLE),
            _of(LEDGER, "cause", Type.NAME, score_pb2.DESCRIPTOR.enum_types_by_name["Cause"]),
            _of(LEDGER, "event_id", Type.TEXT),
            _of(LEDGER, "type", Type.TEXT),
            _of(LEDGER, "occurred_at", Type.TIME),
            _of(LEDGER, "recorded_at", Type.TIME),
            _of(LEDGER, "model_version", Type.WHOLE),
            _of(LEDGER, "contributions", Type.JSON),
            Column("crossings", Type.JSON, func.coalesce(LEDGER.c.crossings.cast(Text), "[]")),
        ),
        ("lead_id", "sequence"),
    ),
    contract.EXPORT_KIND_QUARANTINE: Sheet(
        QUARANTINE,
        (
            _of(QUARANTINE, "item_id", Type.LONG),
            _of(QUARANTINE, "event_id", Type.TEXT),
            _of(QUARANTINE, "lead_id", Type.TEXT),
            Column("kind", Type.TEXT, _KIND),
            Column("type", Type.TEXT, case((_KIND == "event", QUARANTINE.c.type), else_="")),
            _of(QUARANTINE, "occurred_at", Type.TIME),
            _of(QUARANTINE, "received_at", Type.TIME),
            _of(QUARANTINE, "source", Type.TEXT),
            _of(QUARANTINE, "properties", Type.JSON),
            _of(QUARANTINE, "reason", Type.NAME, scorer.DESCRIPTOR.enum_types_by_name["QuarantineReason"]),
            _of(QUARANTINE, "detail", Type.TEXT),
            _of(QUARANTINE, "standing_lead_id", Type.TEXT),
            _of(QUARANTINE, "quarantined_at", Type.TIME),
            _of(QUARANTINE, "state", Type.NAME, scorer.DESCRIPTOR.enum_types_by_name["QuarantineState"]),
            _of(QUARANTINE, "decided_at", Type.TIME),
            _of(QUARANTINE, "decided_by", Type.TEXT),
            _of(QUARANTINE, "note", Type.TEXT),
            _of(QUARANTINE, "released_event_id", Type.TEXT),
        ),
        ("item_id",),
    ),
}
"""The exports that are tables, by kind."""
