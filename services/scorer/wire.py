"""Between the stream's messages and the core's values. Protobuf goes no further than here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from leadscore.ingest.v1 import ingest_service_pb2
from leadscore.score.v1 import score_pb2
from leadscore.stream.v1 import stream_pb2

from services.scorer.scoring.fold import Change
from services.scorer.scoring.lead import ERASURE, NOTE, OVERRIDE, OWNER, PROFILE, STATUS, Fact
from services.scorer.scoring.thresholds import Crossing
from services.shared.bus import StreamMessage
from services.shared.clock import US_PER_S

DIGEST_BYTES = 16

TYPES = {
    stream_pb2.FACT_KIND_PROFILE: PROFILE,
    stream_pb2.FACT_KIND_STATUS: STATUS,
    stream_pb2.FACT_KIND_OWNER: OWNER,
    stream_pb2.FACT_KIND_NOTE: NOTE,
    stream_pb2.FACT_KIND_OVERRIDE: OVERRIDE,
    stream_pb2.FACT_KIND_ERASURE: ERASURE,
}
"""The core's types of the facts that are no events."""
KINDS = {fact_type: kind for kind, fact_type in TYPES.items()}


_DECODER = msgspec.json.Decoder(dict[str, Any])


class UnreadableMessage(Exception):
    """A message of the stream that is not what ingest writes."""


@dataclass(slots=True, init=False)
class Incoming:
    """A fact with what it came with."""

    fact: Fact
    digest: bytes
    tenant_id: str
    partition: int
    received_us: int
    import_id: str

    def __init__(
        self, fact: Fact, digest: bytes, tenant_id: str, partition: int, received_us: int, import_id: str
    ) -> None:
        self.fact = fact
        self.digest = digest
        self.tenant_id = tenant_id
        self.partition = partition
        self.received_us = received_us
        self.import_id = import_id


@dataclass(frozen=True, slots=True)
class Report:
    """A report of an import, and its place in the stream."""

    sequence: int
    partition: int
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
        place = message.sequence, message.partition, tenant_id
        return [], Report(*place, batch.received_at_us, batch.import_report)
    digests, kind = batch.digests, TYPES.get(batch.kind)
    if len(digests) != DIGEST_BYTES * len(batch.events) or not batch.events:
        raise UnreadableMessage(f"{len(batch.events)} facts and {len(digests)} bytes of digests")
    if len(batch.properties) not in (0, len(batch.events)):
        raise UnreadableMessage(f"{len(batch.events)} facts and {len(batch.properties)} properties")
    facts = []
    for index, (event, document) in enumerate(zip_longest(batch.events, batch.properties)):
        occurred_at = event.occurred_at
        occurred_us = occurred_at.seconds * US_PER_S + occurred_at.nanos // 1_000
        properties = _decoded(document) if document else None
        fact = Fact(event.event_id, event.lead_id, kind or event.type, occurred_us, properties, event.source)
        digest = digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]
        facts.append(Incoming(fact, digest, tenant_id, message.partition, batch.received_at_us, batch.import_id))
    return facts, None


def _decoded(document: bytes) -> dict[str, Any]:
    try:
        return _DECODER.decode(document)
    except msgspec.DecodeError as error:
        raise UnreadableMessage(str(error)) from error


def to_struct(values: Mapping[str, Any]) -> Struct:
    """Plain values as a Struct."""
    struct = Struct()
    struct.update(dict(values))
    return struct


def to_timestamp(time_us: int) -> Timestamp:
    """Microseconds since 1970 as a Timestamp."""
    seconds, microseconds = divmod(time_us, US_PER_S)
    return Timestamp(seconds=seconds, nanos=microseconds * 1_000)


def to_contributions(lines: Iterable[tuple[str, int, float]]) -> list[score_pb2.Contribution]:
    """Lines, each with its count, as the contract has them."""
    return [score_pb2.Contribution(rule=name, count=count, points=points) for name, count, points in lines]


def to_crossings(crossings: Iterable[Crossing]) -> list[score_pb2.Crossing]:
    """Crossings as the contract has them."""
    return [score_pb2.Crossing(threshold=each.threshold, before=each.before, after=each.after) for each in crossings]


def add_updates(announcement: stream_pb2.ScoreAnnouncement, changes: Iterable[Change], recorded_us: int) -> None:
    """Adds changes to what is announced. Filled in where they stand, which is twice as fast as copying them there."""
    add, recorded_at, occurred_at = announcement.updates.add, to_timestamp(recorded_us), Timestamp()
    for change in changes:
        after, fact = change.after, change.fact
        if fact is not None:
            occurred_at.seconds, microseconds = divmod(fact.occurred_us, US_PER_S)
            occurred_at.nanos = microseconds * 1_000
        update = add(
            lead_id=change.lead_id,
            previous_score=change.score_before,
            score=after.score,
            machine_score=after.machine_score,
            engagement=after.engagement,
            fit=after.fit,
            grade=after.grade,
            previous_grade=change.grade_before,
            version=change.version,
            cause=change.cause,
            event_id=fact.event_id if fact else "",
            occurred_at=occurred_at if fact else None,
            recorded_at=recorded_at,
        )
        if change.crossings:
            update.crossings.extend(to_crossings(change.crossings))
