"""Starts the parts of a suite: the servers, then the database's tables, then the services."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from cli.doors import SERVICES, listening_doors
from cli.up.folder import LOGS
from cli.up.parts import GatewayPart, Part, ServicePart
from cli.up.ports import OwnPorts
from embedded.child import Child, StartError
from embedded.nats import NatsServer
from embedded.postgres import Postgres
from services.shared.lifecycle import HELD
from services.shared.settings import LOOPBACK, SETTINGS, Settings

READY_DEADLINE_S = 60.0
"""From the start of the services until all of them are ready."""
PREPARE_DEADLINE_S = 300.0
"""Migrations of a large database take their time."""
LOOK_INTERVAL_S = 0.05
NEED_NO_TABLES = ("ingest", "query", "gateway")
"""These start while the database is prepared."""


async def start_parts(settings: Settings, own_ports: OwnPorts, stack: AsyncExitStack, parts: list[Part]) -> None:
    """Starts everything and adds it to `parts`; it is stopped when the stack is left, gateways first and servers last.
    Raises StartError for what does not get ready.
    """
    servers, settings = _servers(settings)
    services, gateways = _services(settings, own_ports), _parts(GatewayPart, "gateway", "gateway", settings, own_ports)
    processes, preparation = [*services, *gateways], _preparation(settings)
    for group in (servers, services, gateways):
        stack.push_async_callback(_stop, group)
    stack.push_async_callback(preparation.kill)
    parts += [*servers, *processes]
    await _start_servers(servers, lambda: _hold(preparation, processes))
    for process in processes:
        if process.service in NEED_NO_TABLES:
            await process.start()
    await _prepare(preparation)
    for process in processes:
        if process.service not in NEED_NO_TABLES:
            await process.start()
    # Gateways are ready when all are; each is asked on its own for the sake of the message.
    await _wait_until_ready(processes)


def _servers(settings: Settings) -> tuple[list[NatsServer | Postgres], Settings]:
    """The servers that are not given, and the settings with where they will be."""
    servers: list[NatsServer | Postgres] = []
    if not settings.nats_url:
        nats = NatsServer(settings.data_dir / "nats", log=_log(settings, NatsServer.name))
        servers.append(nats)
        nats.reserve()
        settings = replace(settings, nats_url=nats.url)
    if not settings.database_url:
        postgres = Postgres(settings.data_dir / "postgres", log=_log(settings, Postgres.name))
        servers.append(postgres)
        postgres.reserve()
        settings = replace(settings, database_url=postgres.url)
    return servers, settings


async def _start_servers(servers: Sequence[Part], beside: Callable[[], None]) -> None:
    """Starts servers, all at a time, and does something `beside` that."""
    starts = [asyncio.create_task(server.start()) for server in servers]
    try:
        await asyncio.sleep(0)  # The servers come first.
        beside()
        await asyncio.gather(*starts)
    finally:
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)


def _hold(preparation: Child, processes: Sequence[ServicePart]) -> None:
    """Starts processes so far that they have imported what they need: half of the time until they are ready."""
    preparation.start(held=True)
    for process in processes:
        process.hold()


def _services(settings: Settings, own_ports: OwnPorts) -> list[ServicePart]:
    """The processes behind the gateways."""
    found = (_parts(ServicePart, name, f"services.{name}", settings, own_ports) for name in SERVICES)
    return [part for parts in found for part in parts]


def _parts(
    kind: type[ServicePart], name: str, module: str, settings: Settings, own_ports: OwnPorts
) -> list[ServicePart]:
    """The process of a kind; or several, numbered, each with a port of its own beside the one that they share."""
    if not own_ports[name]:
        address = getattr(listening_doors(settings), name)
        return [kind(name, module, address, _log(settings, name), environment_of(settings))]
    return [
        kind(
            f"{name}-{number}",
            module,
            f"{LOOPBACK}:{port}",
            _log(settings, f"{name}-{number}"),
            environment_of(replace(settings, own_port=port)),
        )
        for number, port in enumerate(own_ports[name], start=1)
    ]


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as a child reads them, without the keys of whoever started the suite."""
    settings = replace(settings, api_key="", admin_key="")
    values = {each.metadata["variable"]: getattr(settings, each.name) for each in SETTINGS}
    shown = {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in values.items()}
    return {**os.environ, **shown, "PYTHONUNBUFFERED": "1"}


def _log(settings: Settings, name: str) -> Path:
    return settings.data_dir / LOGS / f"{name}.log"


def _preparation(settings: Settings) -> Child:
    """The process that prepares the database."""
    command = [sys.executable, "-m", "services.scorer.prepare", HELD]
    log = _log(settings, "prepare")
    log.unlink(missing_ok=True)
    return Child("prepare", command, log=log, environment=environment_of(settings))


async def _prepare(preparation: Child) -> None:
    """Has the database prepared by a process that is held."""
    log = preparation.log
    try:
        async with asyncio.timeout(PREPARE_DEADLINE_S):
            preparation.release()
            code = await preparation.ended()
    except TimeoutError:
        raise StartError(f"the database was not prepared within {PREPARE_DEADLINE_S:.0f} s (see {log})") from None
    if code != 0:
        raise StartError(f"the database could not be prepared: {preparation.last_words()} (see {log})")


async def _wait_until_ready(services: list[ServicePart]) -> None:
    try:
        async with asyncio.timeout(READY_DEADLINE_S):
            for service in services:
                await _ready(service, services)
    except TimeoutError:
        slow = ", ".join([service.name for service in services if not await service.ready()])
        logs = services[0].child.log.parent
        raise StartError(f"not ready within {READY_DEADLINE_S:.0f} s: {slow} (see {logs})") from None


async def _ready(service: ServicePart, services: list[ServicePart]) -> None:
    while not await service.ready():
        for each in services:
            if not each.alive:
                raise StartError(f"{each.name} did not start: {each.child.last_words()} (see {each.child.log})")
        await asyncio.sleep(LOOK_INTERVAL_S)


async def _stop(parts: Sequence[Part]) -> None:
    """Stops parts of one kind, all at a time."""
    await asyncio.gather(*(part.stop() for part in parts))
