"""The gateway process, as a list of its parts."""

from contextlib import AsyncExitStack

from gateway.application import build_application
from gateway.channels import open_channels
from gateway.guard import Guard
from gateway.serving import listen, serve
from gateway.sse import EventStreams
from services.shared.lifecycle import Process, run
from services.shared.settings import Settings


async def start(settings: Settings, stack: AsyncExitStack, process: Process) -> None:
    """Starts the parts of the gateway."""
    listening = listen(settings.host, settings.gateway_port)
    streams = EventStreams()
    channels = await open_channels(settings, stack)
    application = build_application(channels, Guard(anonymous=settings.anonymous), streams)
    serve(application, listening, streams, stack, process)


if __name__ == "__main__":
    run("gateway", start)
