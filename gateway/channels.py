"""The gateway's connections to the services."""

from contextlib import AsyncExitStack
from typing import Any

from grpc import aio

from gateway.routes import SERVICES
from services.shared.server import KEEPALIVE_MS, MESSAGE_BYTES_MAX
from services.shared.settings import Settings

CALL_DEADLINE_S = 30.0
"""How long a service may take to answer."""
RECONNECT_MS_MAX = 1_000
"""A service that was restarted is reached again within a second."""
OPTIONS = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", RECONNECT_MS_MAX),
    # Where a name stands for several processes of a service, all of them are asked in turn.
    ("grpc.lb_policy_name", "round_robin"),
    # A proxy for the web, as http_proxy names it, is no way to our own services.
    ("grpc.enable_http_proxy", 0),
)

Channels = dict[str, aio.Channel]
Metadata = tuple[tuple[str, Any], ...]


async def open_channels(settings: Settings, stack: AsyncExitStack) -> Channels:
    """A channel for each service; they connect when they are used."""
    return {
        name: await stack.enter_async_context(aio.insecure_channel(settings.target(name), options=OPTIONS))
        for name in SERVICES
    }
