"""The scorer process, as a list of its parts."""

import asyncio
import os
import socket
import uuid
from contextlib import AsyncExitStack

from leadscore.scorer.v1 import scorer_service_pb2_grpc

from services.scorer.announcer import Announcer
from services.scorer.consumer import Consumer
from services.scorer.ownership import Ownership
from services.scorer.processor import Processor
from services.scorer.progress import Progress
from services.scorer.service import SERVICE_NAME, ScorerService
from services.scorer.store import Store
from services.shared import bus as stream
from services.shared import database
from services.shared.caught_up import CaughtUp
from services.shared.clock import SystemClock
from services.shared.lifecycle import Process, run
from services.shared.server import keep_health, serve
from services.shared.settings import Settings

CONNECTIONS_MAX = 8
"""One writes, one keeps the leases, the rest answer questions."""


async def start(settings: Settings, stack: AsyncExitStack, process: Process) -> None:
    """Starts the parts of the scorer."""
    scorer_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    clock = SystemClock()
    engine = await stack.enter_async_context(database.connect(settings, name="scorer", connections_max=CONNECTIONS_MAX))
    bus = await stack.enter_async_context(stream.connect(settings, "scorer", process.stream_lost))
    announcer = Announcer(bus, engine, scorer_id)
    ownership = Ownership(engine, scorer_id, settings.partitions)
    consumer = Consumer(bus, engine, ownership, Processor(Store(engine, scorer_id), clock), announcer)
    caught_up = CaughtUp(engine)
    await stack.enter_async_context(bus.hear_progress(caught_up.heard))
    service = ScorerService(engine, Progress(bus, engine, clock), caught_up)
    process.port, health = await serve(
        stack,
        settings,
        service_name=SERVICE_NAME,
        add=lambda server: scorer_service_pb2_grpc.add_ScorerServiceServicer_to_server(service, server),
        port=settings.scorer_port,
    )

    async def ready() -> bool:
        return bus.connected and ownership.certain

    await ownership.create()
    stack.push_async_callback(ownership.leave)
    process.watch(stack, asyncio.create_task(ownership.keep(consumer.partitions_changed)))
    process.watch(stack, asyncio.create_task(consumer.purge()))
    consuming = asyncio.create_task(consumer.run())
    process.watch(stack, consuming)
    stack.push_async_callback(consumer.stop)
    process.watch(stack, asyncio.create_task(keep_health(health, ready)))


if __name__ == "__main__":
    run("scorer", start)
