"""The scorer process, as a list of its parts."""

import asyncio
import os
import socket
import uuid
from contextlib import AsyncExitStack

from grpc import aio
from leadscore.admin.v1 import admin_service_pb2_grpc
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from services.scorer import core
from services.scorer.admin import AdminService
from services.scorer.announcer import Announcer
from services.scorer.consumer import Consumer
from services.scorer.operations import Operations
from services.scorer.overrides import Overrides
from services.scorer.ownership import Ownership, application_name
from services.scorer.progress import Progress
from services.scorer.quarantine import Quarantine
from services.scorer.service import SERVICE_NAME, Rooms, ScorerService
from services.scorer.store import Store
from services.scorer.versions import Versions
from services.shared import bus as stream
from services.shared import database
from services.shared.caught_up import CaughtUp
from services.shared.clock import Clock, SystemClock
from services.shared.facts.publishing import Publisher
from services.shared.lifecycle import Process, run
from services.shared.server import keep_health, serve
from services.shared.settings import Settings

CONNECTIONS_MAX = 8
"""One writes, one keeps the leases, the rest answer questions."""
HOST_LENGTH_MAX = 24
"""So much of the host's name is in a scorer's id: PostgreSQL cuts the names of connections at 63 bytes."""
YOUNG_OBJECTS_MAX = 1_000_000
"""More than the batches under way hold together, so that the collector does not look at each of them in vain."""


async def start(settings: Settings, stack: AsyncExitStack, process: Process, clock: Clock | None = None) -> None:
    """Starts the parts of the scorer; tests bring a clock that they can move."""
    core.check()
    scorer_id = f"{socket.gethostname()[:HOST_LENGTH_MAX]}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    clock = clock or SystemClock()
    connecting = database.connect(settings, name=application_name(scorer_id), connections_max=CONNECTIONS_MAX)
    engine = await stack.enter_async_context(connecting)
    bus = await stack.enter_async_context(stream.connect(settings, "scorer", process.stream_lost))
    announcer = Announcer(bus, engine, scorer_id)
    ownership = Ownership(engine, scorer_id, settings.partitions)
    store, publisher = Store(engine, scorer_id), Publisher(bus)
    consumer = Consumer(bus, engine, ownership, store, clock, announcer)
    caught_up = CaughtUp(engine)
    await stack.enter_async_context(bus.hear_progress(caught_up.heard))
    progress = Progress(bus, engine, clock, lambda: consumer.retries)
    process.watch(stack, asyncio.create_task(progress.keep()))
    rooms = Rooms(
        store=store,
        clock=clock,
        caught_up=caught_up,
        progress=progress,
        versions=Versions(engine, clock),
        operations=Operations(engine, clock),
        overrides=Overrides(publisher, engine, clock),
        quarantine=Quarantine(publisher, engine, clock),
    )

    def add(server: aio.Server) -> None:
        scorer_service_pb2_grpc.add_ScorerServiceServicer_to_server(ScorerService(rooms), server)
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(AdminService(engine), server)

    process.port, health = await serve(
        stack,
        settings,
        service_name=SERVICE_NAME,
        add=add,
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
    run("scorer", start, YOUNG_OBJECTS_MAX)
