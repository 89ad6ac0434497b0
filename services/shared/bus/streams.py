"""The two streams: made if need be, and checked."""

import asyncio

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext, api

from services.shared.bus.messages import EVENTS, SCORES
from services.shared.bus.reader import REQUEST_TIMEOUT_S
from services.shared.errors import SettingError, Unavailable
from services.shared.settings import Settings

PARTITIONS_KEY = "leadscore-partitions"
DEDUP_WINDOW_S = 120.0
"""How long JetStream remembers message ids. It saves work; what counts is the database."""
SCORES_AGE_MAX_S = 86_400.0
"""How long a watcher may be away and still miss nothing."""


async def prepare_streams(stream: JetStreamContext, settings: Settings) -> None:
    """Creates the streams if need be. Raises SettingError if those that are there are not as this process expects them,
    and Unavailable if the stream is away.
    """
    stored = await _prepare(stream, _events(settings))
    await _prepare(stream, _scores(settings))
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


def _events(settings: Settings) -> api.StreamConfig:
    return api.StreamConfig(
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


def _scores(settings: Settings) -> api.StreamConfig:
    return api.StreamConfig(
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


async def _prepare(stream: JetStreamContext, config: api.StreamConfig) -> api.StreamConfig:
    assert config.name is not None
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            try:
                info = await stream.stream_info(config.name)
            except nats.js.errors.NotFoundError:
                info = await stream.add_stream(config)
    except nats.js.errors.APIError as error:
        raise SettingError(f"NATS refuses the stream {config.name}: {error.description}") from error
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise Unavailable("the stream is away") from error
    stored: api.StreamConfig = info.config
    return stored
