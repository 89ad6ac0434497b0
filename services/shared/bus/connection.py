"""A connection to the stream."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from weakref import WeakSet

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from services.shared.bus.messages import EVENTS, SCORES, Backlog, Kept, Published
from services.shared.bus.publishing import Publishing
from services.shared.bus.reader import FETCH_MESSAGES_MAX, REQUEST_TIMEOUT_S, Reader
from services.shared.bus.streams import prepare_streams
from services.shared.clock import to_us
from services.shared.errors import RetriableError, SettingError, Unavailable
from services.shared.settings import Settings

PROGRESS = "leadscore.progress"
SERVER_VERSION_MIN = (2, 12)
"""Older servers drop settings that we ask for in silence."""
PUBLISH_TIMEOUT_S = 5.0
"""How long a publish may go unanswered; after it the outcome is unknown."""
CONNECT_TIMEOUT_S = 5.0
RECONNECT_WAIT_S = 0.2
"""A broker that was restarted is back in no time; so are we."""
PING_INTERVAL_S = 3
"""A peer that vanished is noticed after two of these."""
OVERHEAD_BYTES = 1_024
"""Of a message beside its payload: subject, id, frame."""

logger = logging.getLogger(__name__)


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
        return _all_stored(await self._publish_all(_as_messages(batches), EVENTS))

    async def publish_each(self, batches: Sequence[tuple[int, str, bytes, str]]) -> list[Published | RetriableError]:
        """Publishes messages as `publish_facts` does, but answers for each by itself: where it is on disk, or the error
        that it has met.
        """
        try:
            return await self._publish_all(_as_messages(batches), EVENTS)
        except Unavailable as error:
            return [error] * len(batches)

    async def announce(self, announcements: Sequence[tuple[str, bytes, str]]) -> None:
        """Publishes score changes, each (tenant, payload, message id), in this order; waits until all are stored."""
        _all_stored(
            await self._publish_all(
                [(f"leadscore.scores.{tenant}", payload, id) for tenant, payload, id in announcements], SCORES
            )
        )

    async def _publish_all(
        self, messages: Sequence[tuple[str, bytes, str]], stream: str
    ) -> list[Published | RetriableError]:
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
        return await self._kept(SCORES)

    async def events_kept(self) -> Kept:
        """What is kept of the facts. Raises Unavailable."""
        return await self._kept(EVENTS)

    async def _kept(self, name: str) -> Kept:
        info: api.StreamInfo = await self._ask(self._stream.stream_info(name))
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
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                return await question
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise Unavailable("the stream is away") from error

    async def open(self) -> None:
        """Begins to listen for answers."""
        await self._publishing.open()


def _as_messages(batches: Sequence[tuple[int, str, bytes, str]]) -> list[tuple[str, bytes, str]]:
    return [(f"leadscore.events.{partition}.{tenant}", payload, id) for partition, tenant, payload, id in batches]


def _all_stored(answers: Sequence[Published | RetriableError]) -> list[Published]:
    """The places of messages. Raises the first error among them."""
    stored = []
    for answer in answers:
        if isinstance(answer, RetriableError):
            raise answer
        stored.append(answer)
    return stored


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
        await prepare_streams(client.jetstream(timeout=REQUEST_TIMEOUT_S), settings)
        await bus.open()
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
