"""The stream: NATS JetStream behind a few words of our own. Nothing outside of this room imports nats.

Two streams. EVENTS holds the facts, a subject per partition and tenant; it refuses when it is full, and what every
scorer has committed is purged from it. SCORES holds announced score changes, a subject per tenant, for a day or a size.
Beside them, scorers say on a plain subject how far they have got, so that a read that waits need not poll.

JetStream is not exactly-once: it may deliver again what it delivered before, and forgets message ids when it is killed.
Whoever reads keeps its own position and reads on from there; whoever needs uniqueness has it in the database.
"""

from services.shared.bus.connection import Bus, connect
from services.shared.bus.messages import Backlog, Kept, Published, StreamMessage
from services.shared.bus.reader import Reader

__all__ = ["Backlog", "Bus", "Kept", "Published", "Reader", "StreamMessage", "connect"]
