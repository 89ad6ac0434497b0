"""The ports of the doors, taken before anything is started."""

from contextlib import AsyncExitStack
from dataclasses import replace

from cli.doors import SERVICES, listening_doors
from embedded.child import StartError
from embedded.ports import NoSuchAddress, ReservedPort
from services.shared.settings import LOOPBACK, Settings

PARTS = ("gateway", *SERVICES)
OwnPorts = dict[str, list[int]]
"""The ports of single processes, by what they are; none where there is but one."""


def reserve_ports(settings: Settings, stack: AsyncExitStack) -> Settings:
    """The settings with a port for each door, and with where the services are reached; the ports are kept until the
    stack is left. Raises StartError if one is taken.
    """
    numbers = {f"{name}_port": _reserve(settings, name, stack) for name in PARTS}
    settings = replace(settings, **numbers)  # type: ignore[arg-type]  # They are all ports.
    doors = listening_doors(settings)
    return replace(settings, ingest_address=doors.ingest, scorer_address=doors.scorer, query_address=doors.query)


def reserve_own_ports(settings: Settings, stack: AsyncExitStack) -> tuple[Settings, OwnPorts]:
    """A port for each process of a kind that there are several of, which share the port of their door; and the settings
    with where the gateways find all of them.

    Behind a shared port, it is the system that chooses who answers. By its own port a process can be asked how it is,
    and calls are spread over all: a gateway has one connection to each, where it would have one to any.
    """
    ports: OwnPorts = {}
    for name in PARTS:
        number = getattr(settings, f"{name}_processes")
        own = [ReservedPort(LOOPBACK, 0) for _ in range(number)] if number > 1 else []
        for port in own:
            stack.callback(port.release)
        ports[name] = [port.number for port in own]
    addresses = {
        f"{name}_address": "ipv4:" + ",".join(f"{LOOPBACK}:{port}" for port in ports[name])
        for name in SERVICES
        if ports[name]
    }
    return replace(settings, own_port=0, **addresses), ports  # type: ignore[arg-type]  # They are all texts.


def _reserve(settings: Settings, name: str, stack: AsyncExitStack) -> int:
    try:
        port = ReservedPort(settings.host, getattr(settings, f"{name}_port"))
    except NoSuchAddress as error:
        raise StartError(f"{error}; set LEADSCORE_HOST to one that is") from None
    except StartError as error:
        raise StartError(f"{error}; set LEADSCORE_{name.upper()}_PORT to another") from None
    stack.callback(port.release)
    return port.number
