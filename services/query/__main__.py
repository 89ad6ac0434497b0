"""The query process, as a list of its parts."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from leadscore.query.v1 import query_service_pb2_grpc

from services.query.leaderboard_watch import Leaderboards, read_top
from services.query.service import SERVICE_NAME, QueryService
from services.query.states import read_slice
from services.query.watch import Hub
from services.shared import bus as stream
from services.shared import database
from services.shared.caught_up import CaughtUp
from services.shared.lifecycle import Process, run
from services.shared.server import keep_health, serve
from services.shared.settings import Settings

CONNECTIONS_MAX = 10
"""Reads at the same time; more of them wait their turn rather than slow each other down."""


async def start(settings: Settings, stack: AsyncExitStack, process: Process) -> None:
    """Starts the parts of query."""
    connecting = database.connect(settings, name="leadscore-query", connections_max=CONNECTIONS_MAX, read_only=True)
    engine = await stack.enter_async_context(connecting)
    bus = await stack.enter_async_context(stream.connect(settings, "query", process.stream_lost))
    caught_up = CaughtUp(engine)
    await stack.enter_async_context(bus.hear_progress(caught_up.heard))
    hub = Hub(bus, partial(read_slice, engine), Leaderboards(partial(read_top, engine)))
    await hub.open()
    process.watch(stack, asyncio.create_task(hub.run()))
    service = QueryService(engine, hub, caught_up)
    process.port, health = await serve(
        stack,
        settings,
        service_name=SERVICE_NAME,
        add=lambda server: query_service_pb2_grpc.add_QueryServiceServicer_to_server(service, server),
        port=settings.query_port,
    )
    stack.callback(hub.stop)

    async def ready() -> bool:
        return bus.connected and await database.answers(engine)

    process.watch(stack, asyncio.create_task(keep_health(health, ready)))


if __name__ == "__main__":
    run("query", start)
