"""Starts the suite, says where it is, and keeps it running until it is told to stop."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path

import click

from cli.doors import remove_doors, write_doors
from cli.up.folder import take_folder
from cli.up.keys import take_key
from cli.up.parts import GatewayPart, Part, ServicePart
from cli.up.supervisor import keep_running
from embedded.child import Child, StartError
from embedded.nats import NatsServer
from embedded.ports import ReservedPort
from embedded.postgres import Postgres
from services.shared.errors import LeadscoreError
from services.shared.settings import SETTINGS, Settings, read_settings

READY_DEADLINE_S = 60.0
"""From the start of the services until all of them are ready."""
PREPARE_DEADLINE_S = 300.0
"""Migrations of a large database take their time."""
LOOK_S = 0.05
LOG_BYTES_MAX = 10 * 1024 * 1024
"""A log that is larger at the start is kept aside once and begun anew."""
DOORS = ("ingest", "scorer", "query", "gateway")

Say = Callable[[str], None]


@click.command("up")
def command() -> None:
    """Starts nats-server, PostgreSQL and the suite on this machine; Ctrl-C stops all of it."""
    try:
        settings = read_settings()
        with ExitStack() as stack:
            take_folder(settings.data_dir, stack)
            asyncio.run(_run(settings))
    except LeadscoreError as error:
        raise click.ClickException(str(error)) from None


async def _run(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        running = asyncio.create_task(_start(settings, stack, click.echo))
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            running.cancel()
            await asyncio.wait([running])
        elif not running.cancelled():
            running.result()
            await stopped
        click.echo("\nstopping ...")
    click.echo("stopped; the data stays in " + str(settings.data_dir))


async def _start(settings: Settings, stack: AsyncExitStack, say: Say) -> None:
    """Starts everything in its order. What was started is stopped in the reverse order when the stack is left."""
    settings = replace(settings, data_dir=settings.data_dir.absolute())
    settings, made_key = take_key(settings)
    settings = _reserve(settings, stack)
    say("starting ...")
    watched: list[Part] = []
    settings = await _start_servers(settings, stack, watched)
    await _prepare(settings)
    services = _services(settings)
    for service in services:
        await service.start()
        stack.push_async_callback(service.stop)
    await _wait_until_ready(services)
    tasks = [asyncio.create_task(keep_running(part, say)) for part in (*watched, *services)]
    # Registered last and so left first: nothing is restarted while all is being stopped.
    stack.push_async_callback(_stop_watching, tasks)
    write_doors(settings)
    stack.callback(remove_doors, settings)
    _show(settings, made_key, say)


def _reserve(settings: Settings, stack: AsyncExitStack) -> Settings:
    """The settings with a port for each door. Raises StartError if one is taken."""
    ports = {}
    for name in DOORS:
        try:
            reserved = ReservedPort(settings.host, getattr(settings, f"{name}_port"))
        except StartError as error:
            raise StartError(f"{error}; set LEADSCORE_{name.upper()}_PORT to another") from None
        stack.callback(reserved.release)
        ports[f"{name}_port"] = reserved.number
    return replace(settings, **ports)  # type: ignore[arg-type]  # They are all ports.


async def _start_servers(settings: Settings, stack: AsyncExitStack, watched: list[Part]) -> Settings:
    """Starts the servers that are not given, both at a time, and answers the settings with where they are."""
    nats = None if settings.nats_url else NatsServer(settings.data_dir / "nats", log=_log(settings, "nats-server"))
    postgres = (
        None if settings.database_url else Postgres(settings.data_dir / "postgres", log=_log(settings, "postgres"))
    )
    servers = [server for server in (nats, postgres) if server is not None]
    for server in servers:
        stack.push_async_callback(server.stop)
    await asyncio.gather(*(server.start() for server in servers))
    watched += servers
    return replace(
        settings,
        nats_url=nats.url if nats else settings.nats_url,
        database_url=postgres.url if postgres else settings.database_url,
    )


async def _prepare(settings: Settings) -> None:
    command = [sys.executable, "-m", "services.scorer.prepare"]
    child = Child("prepare", command, log=_log(settings, "prepare"), environment=_environment(settings))
    child.start()
    try:
        async with asyncio.timeout(PREPARE_DEADLINE_S):
            code = await child.ended()
    except TimeoutError:
        raise StartError(f"the database was not prepared within {PREPARE_DEADLINE_S:.0f} s (see {child.log})") from None
    finally:
        await child.kill()
    if code != 0:
        raise StartError(f"the database could not be prepared: {child.last_words()} (see {child.log})")


def _services(settings: Settings) -> list[ServicePart]:
    environment = _environment(settings)
    services = []
    for name in DOORS:
        kind, module = (GatewayPart, "gateway") if name == "gateway" else (ServicePart, f"services.{name}")
        port = getattr(settings, f"{name}_port")
        services.append(kind(name, module, settings.host, port, _log(settings, name), environment))
    return services


def _environment(settings: Settings) -> dict[str, str]:
    """The settings as a child reads them."""
    values = {each.metadata["variable"]: getattr(settings, each.name) for each in SETTINGS}
    shown = {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in values.items()}
    return {**os.environ, **shown, "PYTHONUNBUFFERED": "1"}


def _log(settings: Settings, name: str) -> Path:
    path = settings.data_dir / "logs" / f"{name}.log"
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
    return path


async def _wait_until_ready(services: list[ServicePart]) -> None:
    try:
        async with asyncio.timeout(READY_DEADLINE_S):
            await asyncio.gather(*map(_ready, services))
    except TimeoutError:
        slow = ", ".join([service.name for service in services if not await service.ready()])
        raise StartError(
            f"not ready within {READY_DEADLINE_S:.0f} s: {slow} (see the logs in the data folder)"
        ) from None


async def _ready(service: ServicePart) -> None:
    while not await service.ready():
        if not service.alive:
            raise StartError(f"{service.name} did not start: {service.child.last_words()} (see {service.child.log})")
        await asyncio.sleep(LOOK_S)


async def _stop_watching(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _show(settings: Settings, made_key: str | None, say: Say) -> None:
    address = f"http://{settings.host}:{settings.gateway_port}"
    key = "" if settings.anonymous else '  -H "authorization: Bearer $LEADSCORE_ADMIN_KEY" \\\n'
    grpc_doors = " · ".join(f"{name} {settings.host}:{getattr(settings, f'{name}_port')}" for name in DOORS[:3])
    say(f"""
leadscore is ready.

  dashboard   {address}/
  REST        {address}/v1/...   documentation at {address}/docs
  gRPC        {grpc_doors}
  data, logs  {settings.data_dir}

The first event:

curl -X POST {address}/v1/events \\
{key}  -H 'content-type: application/json' \\
  -d '{{"leadId": "ada@example.org", "type": "demo_request"}}'
""")
    if made_key:
        say(f"The bootstrap key, shown this once (callers on this machine need none):\n  {made_key}\n")
    say("Ctrl-C stops everything.")
