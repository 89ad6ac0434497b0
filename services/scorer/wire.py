"""Between the stream's messages and the core's values. Protobuf goes no further than here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from leadscore.ingest.v1 import ingest_service_pb2
from leadscore.score.v1 import score_pb2
from leadscore.stream.v1 import stream_pb2

from services.scorer.scoring.fold import Change
from services.scorer.scoring.lead import PROFILE, Fact
from services.shared.bus import StreamMessage
from services.shared.clock import US_PER_S

DIGEST_BYTES = 16
INTEGER_MAX = 2**53
"""Up to here a double holds every whole number, so one without a fraction is taken for a whole number."""


class UnreadableMessage(Exception):
    """A message of the stream that is not what ingest writes."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A fact with what it came with."""

    fact: Fact
    digest: bytes
    tenant_id: str
    partition: int
    received_us: int
    source: str
    import_id: str


@dataclass(frozen=True, slots=True)
class Report:
    """A report of an import."""

    tenant_id: str
    received_us: int
    report: ingest_service_pb2.ReportImportRequest


def read_message(message: StreamMessage) -> tuple[list[Incoming], Report | None]:
    """The facts of a message, in the sender's order, or the report in it. Raises UnreadableMessage."""
    try:
        batch = stream_pb2.FactBatch.FromString(message.payload)
    except DecodeError as error:
        raise UnreadableMessage(str(error)) from error
    tenant_id = message.tenant_id
    if batch.HasField("import_report"):
        return [], Report(tenant_id, batch.received_at_us, batch.import_report)
    digests, of_profiles = batch.digests, batch.kind == stream_pb2.FACT_KIND_PROFILE
    if len(digests) != DIGEST_BYTES * len(batch.events) or not batch.events:
        raise UnreadableMessage(f"{len(batch.events)} facts and {len(digests)} bytes of digests")
    facts = []
    for index, event in enumerate(batch.events):
        occurred_at = event.occurred_at
        occurred_us = occurred_at.seconds * US_PER_S + occurred_at.nanos // 1_000
        properties = to_dict(event.properties) if event.HasField("properties") else None
        event_type = PROFILE if of_profiles else event.type
        fact = Fact(event.event_id, event.lead_id, event_type, occurred_us, properties)
        digest = digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]
        facts.append(
            Incoming(fact, digest, tenant_id, message.partition, batch.received_at_us, event.source, batch.import_id)
        )
    return facts, None


def to_dict(struct: Struct) -> dict[str, Any]:
    """A Struct as plain values; numbers without a fraction as whole numbers."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= INTEGER_MAX else number
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return to_dict(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
    return None


def to_struct(values: Mapping[str, Any]) -> Struct:
    """Plain values as a Struct."""
    struct = Struct()
    struct.update(dict(values))
    return struct


def to_timestamp(time_us: int) -> Timestamp:
    """Microseconds since 1970 as a Timestamp."""
    seconds, microseconds = divmod(time_us, US_PER_S)
    return Timestamp(seconds=seconds, nanos=microseconds * 1_000)


def cause_of(fact: Fact) -> score_pb2.Cause.ValueType:
    """Why a fact changes a score."""
    return score_pb2.CAUSE_PROFILE if fact.type == PROFILE else score_pb2.CAUSE_EVENT


def to_update(change: Change, recorded_us: int) -> score_pb2.ScoreUpdate:
    """A change as it is announced."""
    after = change.after
    return score_pb2.ScoreUpdate(
        lead_id=change.fact.lead_id,
        previous_score=change.score_before,
        score=after.score,
        engagement=after.engagement,
        fit=after.fit,
        grade=after.grade,
        previous_grade=change.grade_before,
        version=change.version,
        cause=cause_of(change.fact),
        event_id=change.fact.event_id,
        occurred_at=to_timestamp(change.fact.occurred_us),
        recorded_at=to_timestamp(recorded_us),
    )
