"""Messages of the stream that are processed together, taken apart."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.scorer.scoring.lead import ERASURE
from services.scorer.wire import Incoming, Report, UnreadableMessage, read_message
from services.shared.bus import StreamMessage


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What cannot even be taken for facts, as it came, and why."""

    sequence: int
    partition: int
    tenant_id: str
    payload: bytes
    detail: str


@dataclass(slots=True)
class Batch:
    """Messages that are processed together. `positions` are the last of each partition."""

    facts: list[Incoming] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=dict)
    erases: bool = False
    """Whether a lead is erased."""

    def add(self, more: "Batch") -> None:
        """Takes in what comes next, without the facts."""
        self.reports += more.reports
        self.unreadable += more.unreadable
        self.positions |= more.positions

    @property
    def name(self) -> str:
        """Where the batch ends. A repeat of it after a crash ends at the same place or not at all."""
        sequence, partition = max((sequence, partition) for partition, sequence in self.positions.items())
        return f"{partition}/{sequence}"


def take_apart(messages: Sequence[StreamMessage]) -> Batch:
    """The facts, reports and unreadable messages among `messages`."""
    batch = Batch()
    for message in messages:
        batch.positions[message.partition] = message.sequence
        try:
            facts, report = read_message(message)
        except UnreadableMessage as error:
            whole = message.sequence, message.partition, message.tenant_id, message.payload
            batch.unreadable.append(Unreadable(*whole, str(error)))
            continue
        batch.facts += facts
        if facts and facts[0].fact.type == ERASURE:  # The facts of a message are of one kind.
            batch.erases = True
        if report is not None:
            batch.reports.append(report)
    return batch
