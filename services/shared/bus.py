"""The stream: NATS JetStream behind a few words of our own. The only file that imports nats.

Two streams. EVENTS holds the facts, a subject per partition and tenant; it refuses when it is full, and what every
scorer has committed is purged from it. SCORES holds announced score changes, a subject per tenant, for a day or a size.
Beside them, scorers say on a plain subject how far they have got, so that a read that waits need not poll.

JetStream is not exactly-once: it may deliver again what it delivered before, and forgets message ids when it is killed.
Whoever reads keeps its own position and reads on from there; whoever needs uniqueness has it in the database.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from weakref import WeakSet

import msgspec
import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from services.shared.clock import to_us
from services.shared.errors import SettingError, StreamFull, StreamInterrupted, Unavailable
from services.shared.settings import Settings

EVENTS = "EVENTS"
SCORES = "SCORES"
PROGRESS = "leadscore.progress"
PARTITIONS_KEY = "leadscore-partitions"

SERVER_VERSION_MIN = (2, 12)
"""Older servers drop settings that we ask for in silence."""
PUBLISH_TIMEOUT_S = 5.0
"""How long a publish may go unanswered; after it the outcome is unknown."""
REQUEST_TIMEOUT_S = 5.0
"""For questions about streams and consumers."""
CONNECT_TIMEOUT_S = 5.0
RECONNECT_WAIT_S = 0.2
"""A broker that was restarted is back in no time; so are we."""
DEDUP_WINDOW_S = 120.0
"""How long JetStream remembers message ids. It saves work; what counts is the database."""
SCORES_AGE_MAX_S = 86_400.0
"""How long a watcher may be away and still miss nothing."""
PING_INTERVAL_S = 3
"""A peer that vanished is noticed after two of these."""
FETCH_MESSAGES_MAX = 512
"""Messages asked for at a time: enough to keep the reader busy, few enough to stop soon."""
FETCH_BYTES_MAX = 16 * 1024 * 1024
"""Bounds what a reader holds when the messages are large."""
FETCH_EXPIRES_S = 30.0
HEARTBEAT_S = 2.0
"""The server shows itself this often while nothing comes; silence of three of these means: start again."""
CONSUMER_INACTIVE_S = 30.0
"""The server forgets the consumer of a reader that has gone."""
STREAM_FULL_CODES = frozenset({10_077, 10_047, 10_023})
"""Maximum bytes, messages or resources of a stream exceeded; insufficient resources."""
OVERHEAD_BYTES = 1_024
"""Of a message beside its payload: subject, id, frame."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message as it was read: its place, whose it is, and its payload. Announced score changes have partition -1."""

    sequence: int
    partition: int
    tenant_id: str
    payload: bytes
    published_us: int


@dataclass(frozen=True, slots=True)
class Published:
    """Where a message stands in the stream; `duplicate` if the stream had it already."""

    sequence: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits behind a position of a partition."""

    last_sequence: int
    pending: int
    oldest_us: int | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What a stream keeps: the first sequence (one more than the last, if nothing), the last, and when the stream was
    made: one that was made anew counts from 1 again, so that its sequences mean other messages.
    """

    made_us: int
    first: int
    last: int


class Bus:
    """A connection to the stream."""

    def __init__(self, client: Client, partitions: int) -> None:
        self._client = client
        self._stream: JetStreamContext = client.jetstream(timeout=REQUEST_TIMEOUT_S)
        self._publishing = Publishing(client)
        self._readers: WeakSet[Reader] = WeakSet()
        self.partitions = partitions

    def interrupt_readers(self) -> None:
        """Called when the connection is lost: what readers asked for may be forgotten."""
        for reader in self._readers:
            reader.interrupt("the connection to the stream was lost")

    @property
    def connected(self) -> bool:
        """Whether the connection is up right now."""
        return bool(self._client.is_connected)

    @property
    def payload_bytes_max(self) -> int:
        """The largest payload that the server takes."""
        return int(self._client.max_payload) - OVERHEAD_BYTES

    async def publish_facts(self, batches: Sequence[tuple[int, str, bytes, str]]) -> list[Published]:
        """Publishes messages, each (partition, tenant, payload, message id), in this order, and waits until all are
        on disk. Raises StreamFull, or Unavailable if one went unanswered: then any of them may have been stored.
        """
        return await self._publish_all(
            [(f"leadscore.events.{partition}.{tenant}", payload, id) for partition, tenant, payload, id in batches],
            EVENTS,
        )

    async def announce(self, announcements: Sequence[tuple[str, bytes, str]]) -> None:
        """Publishes score changes, each (tenant, payload, message id), in this order; waits until all are stored."""
        await self._publish_all(
            [(f"leadscore.scores.{tenant}", payload, id) for tenant, payload, id in announcements], SCORES
        )

    async def _publish_all(self, messages: Sequence[tuple[str, bytes, str]], stream: str) -> list[Published]:
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                return await self._publishing.publish(messages, stream)
        except TimeoutError:
            raise Unavailable("the stream did not answer in time; send the same again") from None
        except (nats.errors.Error, OSError) as error:
            raise Unavailable("the stream is away; send the same again") from error

    async def say_progress(self, positions: Mapping[int, int]) -> None:
        """Tells whoever listens that everything up to these positions is committed. Nobody may miss it for long: those
        who wait look again by themselves.
        """
        with contextlib.suppress(nats.errors.Error):
            await self._client.publish(PROGRESS, msgspec.msgpack.encode(dict(positions)))

    @asynccontextmanager
    async def hear_progress(self, heard: Callable[[dict[int, int]], None]) -> AsyncIterator[None]:
        """Calls `heard` with the positions that scorers say they have committed, while the context lasts."""

        async def receive(message: Msg) -> None:
            heard(msgspec.msgpack.decode(message.data, type=dict[int, int]))

        subscription = await self._client.subscribe(PROGRESS, cb=receive)
        try:
            yield
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    def read_events(self, partitions: Sequence[int], after: int) -> "Reader":
        """Reads the facts of some partitions in stream order, from the message behind sequence `after` on."""
        return self._read(EVENTS, [f"leadscore.events.{partition}.*" for partition in partitions], after)

    def read_scores(self, after: int, tenant: str = "*", *, ahead: int = FETCH_MESSAGES_MAX) -> "Reader":
        """Reads announced score changes in order, from the message behind sequence `after` on; holds at most about
        `ahead` messages that were not read yet.
        """
        return self._read(SCORES, [f"leadscore.scores.{tenant}"], after, ahead)

    def _read(self, name: str, subjects: list[str], after: int, ahead: int = FETCH_MESSAGES_MAX) -> "Reader":
        reader = Reader(self._client, self._stream, name, subjects, after, ahead)
        self._readers.add(reader)
        return reader

    async def scores_kept(self) -> Kept:
        """What is kept of the announced score changes. Raises Unavailable."""
        info: api.StreamInfo = await self._ask(self._stream.stream_info(SCORES))
        assert info.created is not None
        return Kept(to_us(info.created), info.state.first_seq, info.state.last_seq)

    async def purge_events(self, partition: int, through: int) -> None:
        """Removes a partition's messages up to and with sequence `through`."""
        await self._ask(self._stream.purge_stream(EVENTS, subject=f"leadscore.events.{partition}.*", seq=through + 1))

    async def backlog(self, partition: int, after: int) -> Backlog:
        """What waits in a partition behind sequence `after`."""
        subject = f"leadscore.events.{partition}.*"
        oldest = await self._first_message(subject, after + 1)
        if oldest is None:
            return Backlog(after, 0, None)
        config = api.ConsumerConfig(
            ack_policy=api.AckPolicy.NONE,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            filter_subject=subject,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=1.0,
        )
        consumer = await self._ask(self._stream.add_consumer(EVENTS, config))
        with contextlib.suppress(Unavailable):
            await self._ask(self._stream.delete_consumer(EVENTS, consumer.name))
        last = await self._last_sequence(subject)
        return Backlog(max(last, after), consumer.num_pending or 0, oldest)

    async def _first_message(self, subject: str, sequence: int) -> int | None:
        """When the first message of `subject` from `sequence` on was stored, in microseconds; None if there is none."""
        question = json.dumps({"seq": sequence, "next_by_subj": subject}).encode()
        answer = await self._ask(
            self._client.request(f"$JS.API.DIRECT.GET.{EVENTS}", question, timeout=REQUEST_TIMEOUT_S)
        )
        headers = answer.headers or {}
        stored = headers.get("Nats-Time-Stamp")
        if stored is None:
            return None
        moment = datetime.fromisoformat(stored[:19]).replace(tzinfo=UTC)
        return int(moment.timestamp()) * 1_000_000 + int((stored[19:].strip("Z.") or "0").ljust(6, "0")[:6])

    async def _last_sequence(self, subject: str) -> int:
        question = json.dumps({"last_by_subj": subject}).encode()
        answer = await self._ask(
            self._client.request(f"$JS.API.STREAM.MSG.GET.{EVENTS}", question, timeout=REQUEST_TIMEOUT_S)
        )
        return int(json.loads(answer.data).get("message", {}).get("seq", 0))

    async def _ask(self, question: Awaitable[Any]) -> Any:
        try:
            return await asyncio.wait_for(question, REQUEST_TIMEOUT_S)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise Unavailable("the stream is away") from error

    async def open(self, settings: Settings) -> None:
        """Creates the streams if need be, and checks that those that are there are as this process expects them."""
        events = api.StreamConfig(
            name=EVENTS,
            description="Facts about leads, one ordered line per partition",
            subjects=["leadscore.events.*.*"],
            retention=api.RetentionPolicy.LIMITS,
            storage=api.StorageType.FILE,
            discard=api.DiscardPolicy.NEW,
            max_bytes=settings.stream_bytes_max,
            duplicate_window=DEDUP_WINDOW_S,
            num_replicas=settings.replicas,
            allow_direct=True,
            metadata={PARTITIONS_KEY: str(settings.partitions)},
        )
        scores = api.StreamConfig(
            name=SCORES,
            description="Announced score changes",
            subjects=["leadscore.scores.*"],
            retention=api.RetentionPolicy.LIMITS,
            storage=api.StorageType.FILE,
            discard=api.DiscardPolicy.OLD,
            max_bytes=settings.scores_bytes_max,
            max_age=SCORES_AGE_MAX_S,
            duplicate_window=DEDUP_WINDOW_S,
            num_replicas=settings.replicas,
            allow_direct=True,
        )
        stored = await self._prepare(events)
        await self._prepare(scores)
        await self._publishing.open()
        partitions = int((stored.metadata or {}).get(PARTITIONS_KEY, 0))
        if partitions != settings.partitions:
            raise SettingError(
                f"LEADSCORE_PARTITIONS is {settings.partitions}, but the stream was made with {partitions}; "
                "the number is fixed when the stream is created, because it decides which line a lead is in"
            )
        if stored.discard != api.DiscardPolicy.NEW or stored.max_bytes != settings.stream_bytes_max:
            raise SettingError(
                "the stream EVENTS is there with other limits than asked for; see LEADSCORE_STREAM_BYTES_MAX"
            )

    async def _prepare(self, config: api.StreamConfig) -> api.StreamConfig:
        assert config.name is not None
        try:
            info = await self._ask(self._stream.stream_info(config.name))
        except Unavailable as error:
            if not isinstance(error.__cause__, nats.js.errors.NotFoundError):
                raise
            info = await self._create(config)
        stored: api.StreamConfig = info.config
        return stored

    async def _create(self, config: api.StreamConfig) -> api.StreamInfo:
        try:
            info: api.StreamInfo = await asyncio.wait_for(self._stream.add_stream(config), REQUEST_TIMEOUT_S)
            return info
        except nats.js.errors.APIError as error:
            raise SettingError(f"NATS refuses the stream {config.name}: {error.description}") from error
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise Unavailable("the stream is away") from error


class Acknowledgement(msgspec.Struct):
    """What the stream answers to a message."""

    seq: int = 0
    duplicate: bool = False
    error: dict[str, Any] | None = None


class Publishing:
    """Publishes messages one behind the other without waiting for each, and matches the answers to them.

    The library's own way to do that never ends for a message that the stream refuses.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._waiting: dict[str, asyncio.Future[Published]] = {}
        self._numbers = itertools.count()

    async def open(self) -> None:
        """Starts to listen for answers."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._answered)

    async def publish(self, messages: Sequence[tuple[str, bytes, str]], stream: str) -> list[Published]:
        """Publishes (subject, payload, message id) in this order and waits for all answers."""
        futures: dict[str, asyncio.Future[Published]] = {}
        try:
            for subject, payload, message_id in messages:
                number = str(next(self._numbers))
                futures[number] = self._waiting[number] = asyncio.get_running_loop().create_future()
                headers = {api.Header.MSG_ID.value: message_id, api.Header.EXPECTED_STREAM.value: stream}
                await self._client.publish(subject, payload, reply=f"{self._inbox}.{number}", headers=headers)
            return list(await asyncio.gather(*futures.values()))
        finally:
            for number, future in futures.items():
                del self._waiting[number]
                future.cancel()

    async def _answered(self, message: Msg) -> None:
        future = self._waiting.get(message.subject.rpartition(".")[2])
        if future is None or future.done():
            return
        if not message.data:
            future.set_exception(Unavailable("no stream takes this; send the same again later"))
            return
        answer = msgspec.json.decode(message.data, type=Acknowledgement)
        if answer.error is None:
            future.set_result(Published(answer.seq, answer.duplicate))
        elif answer.error.get("err_code") in STREAM_FULL_CODES:
            future.set_exception(StreamFull("the stream is full; try again later"))
        else:
            logger.warning("the stream refuses a message: %s", answer.error)
            future.set_exception(Unavailable("the stream refused; send the same again"))


class Reader:
    """Reads messages of a stream strictly in order, from a sequence on, and never leaves one out in silence.

    A pull consumer without acks lives in the server's memory for as long as the reader does. The reader's place is
    its caller's: on any doubt (a gap, silence, a consumer that is gone) `read` raises StreamInterrupted, and the caller
    opens another reader behind what it has committed.
    """

    def __init__(
        self, client: Client, stream: JetStreamContext, name: str, subjects: list[str], after: int, ahead: int
    ) -> None:
        self._client = client
        self._stream = stream
        self._name = name
        self._ahead = ahead
        self._config = api.ConsumerConfig(
            ack_policy=api.AckPolicy.NONE,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=max(after, 0) + 1,
            filter_subjects=subjects,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=CONSUMER_INACTIVE_S,
        )
        self._inbox = client.new_inbox()
        self._consumer = ""
        self._messages: list[StreamMessage] = []
        self._arrived = asyncio.Event()
        self._asked = 0
        self._delivered = 0
        self._interrupted: str | None = None
        self._subscription: Any = None
        self._sign_of_life = 0.0
        self.waiting_at_start = 0
        """Messages that were there when the reader was opened."""

    async def __aenter__(self) -> "Reader":
        """Opens the reader. Raises StreamInterrupted if the stream is away."""
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                info = await self._stream.add_consumer(self._name, self._config)
                self._consumer = info.name
                self.waiting_at_start = info.num_pending or 0
                self._subscription = await self._client.subscribe(self._inbox, cb=self._receive)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise StreamInterrupted(f"no consumer on {self._name}: {error}") from error
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Closes the reader; the server forgets its consumer."""
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                if self._subscription is not None:
                    await self._subscription.unsubscribe()
                await self._stream.delete_consumer(self._name, self._consumer)

    async def read(self, timeout_s: float) -> list[StreamMessage]:
        """All messages that have come, in order; an empty list if none came within `timeout_s`."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not self._messages:
            self._raise_if_interrupted()
            await self._ask_for_more()
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return []
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, HEARTBEAT_S * 3)):
                    await self._arrived.wait()
        messages, self._messages = self._messages, []
        await self._ask_for_more()
        return messages

    def _raise_if_interrupted(self) -> None:
        if self._interrupted is not None:
            raise StreamInterrupted(self._interrupted)
        # Across calls: the callers' patience may be shorter than the time after which silence means something.
        if self._asked and asyncio.get_running_loop().time() > self._sign_of_life + HEARTBEAT_S * 3:
            raise StreamInterrupted(f"{self._name} has been silent")

    async def _ask_for_more(self) -> None:
        """Keeps one request for messages with the server, renewed when half of it has come."""
        if self._asked > self._ahead // 2:
            return
        more = self._ahead - self._asked
        request = {
            "batch": more,
            "max_bytes": FETCH_BYTES_MAX,
            "expires": int(FETCH_EXPIRES_S * 1e9),
            "idle_heartbeat": int(HEARTBEAT_S * 1e9),
        }
        if not self._asked:  # Without a request, the server shows no sign of life either.
            self._sign_of_life = asyncio.get_running_loop().time()
        self._asked += more
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._client.publish(
                    f"$JS.API.CONSUMER.MSG.NEXT.{self._name}.{self._consumer}",
                    json.dumps(request).encode(),
                    reply=self._inbox,
                )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise StreamInterrupted(f"cannot ask {self._name} for more: {error}") from error

    async def _receive(self, message: Msg) -> None:
        self._sign_of_life = asyncio.get_running_loop().time()
        headers = message.headers or {}
        status = headers.get(api.Header.STATUS.value)
        if status is None or message.data:
            self._take(message)
        elif "Nats-Pending-Messages" in headers:  # The request has ended: its time is over, or its bytes are used up.
            self._asked = max(0, self._asked - int(headers["Nats-Pending-Messages"]))
        elif status != "100":
            self.interrupt(f"{self._name} ended the reading with status {status}")
        self._arrived.set()

    def interrupt(self, why: str) -> None:
        """Makes the next `read` raise StreamInterrupted, once the messages that have come are read."""
        self._interrupted = why
        self._arrived.set()

    def _take(self, message: Msg) -> None:
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<timestamp ns>.<pending>,
        # or with <domain>.<account hash> before the stream and a token behind.
        parts = message.reply.split(".")
        shift = 0 if len(parts) == 9 else 2
        sequence, in_order, stored_ns = (int(part) for part in parts[5 + shift : 8 + shift])
        if in_order != self._delivered + 1:
            self.interrupt(f"{self._name} left out messages before {sequence}")
        if self._interrupted is not None:
            return
        self._delivered = in_order
        self._asked -= 1
        subject = message.subject.split(".")
        partition = int(subject[2]) if self._name == EVENTS else -1
        self._messages.append(StreamMessage(sequence, partition, subject[-1], message.data, stored_ns // 1_000))


@asynccontextmanager
async def connect(settings: Settings, name: str, lost: Callable[[], None]) -> AsyncIterator[Bus]:
    """Connects to the stream and makes sure that the streams are there. Calls `lost` if the connection is given up for
    good. Raises SettingError if the server cannot be used.
    """
    closing = False
    bus: Bus | None = None

    async def closed() -> None:
        if not closing:
            lost()

    async def reconnected() -> None:
        logger.info("connected to the stream again")
        _bound_writes(client)

    async def disconnected() -> None:
        if bus is not None:
            bus.interrupt_readers()
        if not closing:
            logger.warning("the stream is away")

    async def failed(error: Exception) -> None:
        logger.debug("stream: %r", error)

    client = Client()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S * 2):
            await client.connect(
                settings.nats_url,
                name=name,
                connect_timeout=int(CONNECT_TIMEOUT_S),
                ping_interval=PING_INTERVAL_S,
                max_outstanding_pings=2,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # Fractions are fine: it is slept.
                allow_reconnect=True,
                closed_cb=closed,
                reconnected_cb=reconnected,
                disconnected_cb=disconnected,
                error_cb=failed,
            )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise SettingError(f"no nats-server answers at LEADSCORE_NATS_URL: {error or 'timeout'}") from error
    try:
        _check_version(client)
        _bound_writes(client)
        bus = Bus(client, settings.partitions)
        await bus.open(settings)
        yield bus
    finally:
        closing = True
        with contextlib.suppress(Exception):
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await client.close()


def _check_version(client: Client) -> None:
    version = client.connected_server_version
    if (version.major, version.minor) < SERVER_VERSION_MIN:
        wanted = ".".join(map(str, SERVER_VERSION_MIN))
        raise SettingError(f"nats-server {version} is too old: {wanted} or newer is needed")


def _bound_writes(client: Client) -> None:
    """Without this, a write to a peer that has vanished may hang for a quarter of an hour when the buffer is full."""
    transport = getattr(client, "_transport", None)
    writer = getattr(transport, "_io_writer", None)
    plain = writer.get_extra_info("socket") if writer is not None else None
    if plain is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(PUBLISH_TIMEOUT_S * 1_000))
