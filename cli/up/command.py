"""`leadscore up`: starts the suite, says where it is, and keeps it running until it is told to stop."""

import asyncio
import signal
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace

import click

from cli.doors import listening_doors, remove_doors, write_doors
from cli.up.folder import take_folder
from cli.up.keys import take_key
from cli.up.logs import LogWatch
from cli.up.parts import Part
from cli.up.ports import reserve_own_ports, reserve_ports
from cli.up.start import start_parts
from cli.up.supervisor import Say, keep_running
from cli.up.welcome import welcome
from services.shared.settings import Settings, read_settings

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command("up")
def command() -> None:
    """Starts nats-server, PostgreSQL and the suite on this machine; Ctrl-C stops all of it, a second one at once."""
    settings = read_settings()
    with ExitStack() as stack:
        folder = take_folder(settings.data_dir, stack)
        asyncio.run(run(replace(settings, data_dir=folder), click.echo))


async def run(settings: Settings, say: Say) -> None:
    """Runs a suite until one of the signals. Raises LeadscoreError if it cannot be started."""
    stop = asyncio.Event()
    parts: list[Part] = []
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, _interrupt, stop, parts)
    async with AsyncExitStack() as stack:
        living = asyncio.create_task(_live(settings, stack, parts, say))
        told = asyncio.create_task(stop.wait())
        await asyncio.wait([living, told], return_when=asyncio.FIRST_COMPLETED)
        if living.done():
            living.result()
        living.cancel()
        await asyncio.wait([living])
        say("\nstopping ...")
    say(f"stopped; the data stays in {settings.data_dir}")


def _interrupt(stop: asyncio.Event, parts: list[Part]) -> None:
    """The first time, everything is stopped in its order; the second time, at once."""
    for part in parts if stop.is_set() else ():
        if part.alive:
            part.child.send(signal.SIGKILL)
    stop.set()


async def _live(settings: Settings, stack: AsyncExitStack, parts: list[Part], say: Say) -> None:
    """The life of a suite, for ever. What it starts is stopped when the stack is left, last in, first out."""
    settings, made_key = take_key(settings)
    settings = reserve_ports(settings, stack)
    settings, own_ports = reserve_own_ports(settings, stack)
    say("starting ...")
    await start_parts(settings, own_ports, stack, parts)
    doors = listening_doors(settings)
    write_doors(settings.data_dir, doors)
    stack.callback(remove_doors, settings.data_dir)
    say(welcome(settings, doors, made_key))
    watch = LogWatch([part.child for part in parts], say)
    await asyncio.gather(watch.run(), *(keep_running(part, say) for part in parts))
