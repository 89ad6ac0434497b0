"""The gateway process, as a list of its parts."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import uvicorn

from gateway.application import build_application
from gateway.channels import open_channels
from gateway.guard import Guard
from gateway.listening import listen
from gateway.sse import EventStreams
from services.shared.lifecycle import Process, run
from services.shared.settings import Settings

STOP_GRACE_S = 5
"""How long requests under way may take to end when the process stops."""
HEADER_BYTES_MAX = 32 * 1024


class Server(uvicorn.Server):
    """Stops when it is told to; the signals are the process's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals alone."""
        yield


async def start(settings: Settings, stack: AsyncExitStack, process: Process) -> None:
    """Starts the parts of the gateway."""
    listening = listen(settings.host, settings.gateway_port)
    process.port = listening.getsockname()[1]
    streams = EventStreams()
    channels = await open_channels(settings, stack)
    config = uvicorn.Config(
        build_application(channels, Guard(anonymous=settings.anonymous), streams),
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        h11_max_incomplete_event_size=HEADER_BYTES_MAX,
        timeout_graceful_shutdown=STOP_GRACE_S,
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    process.watch(stack, serving)

    async def stop() -> None:
        server.should_exit = True
        streams.close()
        await asyncio.wait([serving])

    stack.push_async_callback(stop)


if __name__ == "__main__":
    run("gateway", start)
