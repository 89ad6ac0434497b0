"""The gateway's HTTP server: bound, started and stopped with the process."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import uvicorn

from gateway.connections import BoundedConnection
from gateway.sse import EventStreams
from gateway.websocket import INWARD_BYTES_MAX, BoundedWebSocket
from services.shared.errors import SettingError
from services.shared.lifecycle import Process
from services.shared.settings import LOOPBACK, Settings

STOP_GRACE_S = 5
"""How long requests under way may take to end when the process stops."""
CONNECTIONS_MAX = 10_000
"""As many streams as a service lets the gateway have; what comes beyond is refused rather than left waiting."""

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Stops when it is told to; the signals are the process's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals alone."""
        yield


def serve(
    application: Any, doors: list[socket.socket], streams: EventStreams, stack: AsyncExitStack, process: Process
) -> None:
    """Serves the application at its doors, and puts its orderly stop on `stack`."""
    config = uvicorn.Config(
        application,
        http=BoundedConnection,
        ws=BoundedWebSocket,
        ws_max_size=INWARD_BYTES_MAX,
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level=logging.WARNING,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=STOP_GRACE_S,
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=doors))
    process.port = doors[0].getsockname()[1]
    process.watch(stack, serving)

    async def stop() -> None:
        server.should_exit = True
        streams.close()
        await asyncio.wait([serving])

    stack.push_async_callback(stop)
    logger.info("the gateway listens on port %d", process.port)


def open_doors(settings: Settings, stack: AsyncExitStack) -> list[socket.socket]:
    """The gateway's port, and a port of this one alone if it shares the other; closed when the stack is left. Raises
    SettingError as `listen`.
    """
    doors = [stack.enter_context(listen(settings.host, settings.gateway_port, shared=settings.own_port > 0))]
    if settings.own_port:
        doors.append(stack.enter_context(listen(LOOPBACK, settings.own_port)))
    return doors


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound socket; port 0 takes a free one. With `shared`, others that want the same may have the port too. Raises
    SettingError if the port is taken or may not be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        message = f"port {port} on {host} is taken or may not be used ({error}); set LEADSCORE_GATEWAY_PORT"
        raise SettingError(message) from error
    return listening
