"""From checked facts to messages of the stream, and from their acknowledgements to outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from leadscore.event.v1 import event_pb2
from leadscore.stream.v1 import stream_pb2

from services.shared.bus import Bus
from services.shared.clock import US_PER_S
from services.shared.errors import RetriableError
from services.shared.facts.identity import content_digest, fold_type, made_event_id, message_id, partition_of
from services.shared.facts.properties import to_json

MESSAGE_BYTES_MAX = 512 * 1024
"""A larger message holds its partition up; the server's own default limit is 1 MiB."""


@dataclass(slots=True)
class Fact:
    """A fact on its way into the stream. `event` is as it will be stored, without its `properties`, which are JSON or
    empty; `digest` is of what was sent.
    """

    index: int
    event: event_pb2.Event
    properties: bytes
    digest: bytes
    duplicate: bool = False


@dataclass(slots=True)
class Message:
    """Facts of one partition that travel together."""

    partition: int
    facts: list[Fact] = field(default_factory=list)
    size_bytes: int = 0


def identify(index: int, event: event_pb2.Event, now_us: int, idempotency_key: str | None) -> Fact:
    """Gives an event, with its index in the request, its digest, and then its id and time where it came without; takes
    its properties out of it. Raises Unfit, before anything is changed, if they hold what no fact can hold.
    """
    properties = to_json(event.properties) if event.HasField("properties") else b""
    event.type = fold_type(event.type)
    digest = content_digest(event)
    event.ClearField("properties")
    if not event.event_id:
        event.event_id = made_event_id(idempotency_key, index, now_us)
    if not event.HasField("occurred_at"):
        event.occurred_at.seconds, microseconds = divmod(now_us, US_PER_S)
        event.occurred_at.nanos = microseconds * 1_000
    return Fact(index, event, properties, digest)


class Publisher:
    """Puts the facts of a request on the stream."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    @property
    def partitions(self) -> int:
        """How many lines facts are parted into."""
        return self._bus.partitions

    async def publish(
        self,
        tenant_id: str,
        facts: Sequence[Fact],
        kind: stream_pb2.FactKind.ValueType,
        now_us: int,
        import_id: str = "",
    ) -> dict[int, int]:
        """Publishes facts and marks those that are known already. Answers the positions to wait for.

        A fact whose id stands in the same request with other content is published after the others are on disk: the
        first in the request stands, whatever their partitions.
        """
        first, contested = _first_and_contested(facts)
        positions: dict[int, int] = {}
        for wave in (first, contested):
            messages = self._messages(tenant_id, wave)
            acknowledged = await self._bus.publish_facts(
                [self._encode(tenant_id, message, kind, now_us, import_id) for message in messages]
            )
            for message, published in zip(messages, acknowledged, strict=True):
                positions[message.partition] = max(published.sequence, positions.get(message.partition, 0))
                if published.duplicate:
                    for fact in message.facts:
                        fact.duplicate = True
        return positions

    async def publish_each(
        self, tenant_id: str, facts: Sequence[Fact], kind: stream_pb2.FactKind.ValueType, now_us: int
    ) -> list[dict[int, int] | RetriableError]:
        """Publishes each fact as a message of its own, by which it is known when it is sent again with whatever others.
        Answers each by itself, with the position to wait for or the error that it has met.
        """
        messages = [
            Message(partition_of(tenant_id, fact.event.lead_id, self._bus.partitions), [fact]) for fact in facts
        ]
        acknowledged = await self._bus.publish_each(
            [self._encode(tenant_id, message, kind, now_us, "") for message in messages]
        )
        answers: list[dict[int, int] | RetriableError] = []
        for fact, message, published in zip(facts, messages, acknowledged, strict=True):
            if isinstance(published, RetriableError):
                answers.append(published)
            else:
                fact.duplicate = published.duplicate
                answers.append({message.partition: published.sequence})
        return answers

    async def publish_report(self, tenant_id: str, batch: stream_pb2.FactBatch) -> dict[int, int]:
        """Publishes a report of an import, in the line that its id chooses."""
        report = batch.import_report
        partition = partition_of(tenant_id, report.import_id, self._bus.partitions)
        identity = message_id(tenant_id, [report.import_id, str(report.report_number)], b"report")
        published = await self._bus.publish_facts([(partition, tenant_id, batch.SerializeToString(), identity)])
        return {partition: published[0].sequence}

    def _messages(self, tenant_id: str, facts: Iterable[Fact]) -> list[Message]:
        bytes_max = min(MESSAGE_BYTES_MAX, self._bus.payload_bytes_max - 64 * 1024)
        messages: list[Message] = []
        filling: dict[int, Message] = {}
        for fact in facts:
            partition = partition_of(tenant_id, fact.event.lead_id, self._bus.partitions)
            size = fact.event.ByteSize() + len(fact.properties)
            message = filling.get(partition)
            if message is None or message.size_bytes + size > bytes_max:
                message = filling[partition] = Message(partition)
                messages.append(message)
            message.facts.append(fact)
            message.size_bytes += size
        return messages

    def _encode(
        self, tenant_id: str, message: Message, kind: stream_pb2.FactKind.ValueType, now_us: int, import_id: str
    ) -> tuple[int, str, bytes, str]:
        digests = b"".join(fact.digest for fact in message.facts)
        events = [fact.event for fact in message.facts]
        batch = stream_pb2.FactBatch(received_at_us=now_us, import_id=import_id, kind=kind, digests=digests)
        batch.events.extend(events)
        batch.properties.extend([fact.properties for fact in message.facts])
        identity = message_id(tenant_id, [event.event_id for event in events], digests)
        return message.partition, tenant_id, batch.SerializeToString(), identity


def _first_and_contested(facts: Sequence[Fact]) -> tuple[list[Fact], list[Fact]]:
    """Parts facts in those whose id comes first and those that contest one. Exact repeats are marked."""
    first: dict[str, bytes] = {}
    standing: list[Fact] = []
    contested: dict[tuple[str, bytes], Fact] = {}
    for fact in facts:
        event_id = fact.event.event_id
        known = first.setdefault(event_id, fact.digest)
        if known is fact.digest:
            standing.append(fact)
        elif known == fact.digest or (event_id, fact.digest) in contested:
            fact.duplicate = True
        else:
            contested[event_id, fact.digest] = fact
    return standing, list(contested.values())
