"""The ingest process, as a list of its parts."""

import asyncio
from contextlib import AsyncExitStack

from leadscore.ingest.v1 import ingest_service_pb2_grpc

from services.ingest.service import SERVICE_NAME, IngestService
from services.shared import bus as stream
from services.shared.clock import SystemClock
from services.shared.facts.publishing import Publisher
from services.shared.lifecycle import Process, run
from services.shared.server import keep_health, serve
from services.shared.settings import Settings


async def start(settings: Settings, stack: AsyncExitStack, process: Process) -> None:
    """Starts the parts of ingest."""
    bus = await stack.enter_async_context(stream.connect(settings, "ingest", process.stream_lost))
    service = IngestService(Publisher(bus), SystemClock())
    process.port, health = await serve(
        stack,
        settings,
        service_name=SERVICE_NAME,
        add=lambda server: ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(service, server),
        port=settings.ingest_port,
        validate_requests=False,
    )

    async def ready() -> bool:
        return bus.connected

    process.watch(stack, asyncio.create_task(keep_health(health, ready)))


if __name__ == "__main__":
    run("ingest", start)
