"""The ports of the doors, taken before anything is started."""

from contextlib import AsyncExitStack
from dataclasses import replace

from cli.doors import SERVICES, listening_doors
from embedded.child import StartError
from embedded.ports import NoSuchAddress, ReservedPort
from services.shared.settings import Settings


def reserve_ports(settings: Settings, stack: AsyncExitStack) -> Settings:
    """The settings with a port for each door, and with where the services are reached; the ports are kept until the
    stack is left. Raises StartError if one is taken.
    """
    numbers = {f"{name}_port": _reserve(settings, name, stack) for name in ("gateway", *SERVICES)}
    settings = replace(settings, **numbers)  # type: ignore[arg-type]  # They are all ports.
    doors = listening_doors(settings)
    return replace(settings, ingest_address=doors.ingest, scorer_address=doors.scorer, query_address=doors.query)


def _reserve(settings: Settings, name: str, stack: AsyncExitStack) -> int:
    try:
        port = ReservedPort(settings.host, getattr(settings, f"{name}_port"))
    except NoSuchAddress as error:
        raise StartError(f"{error}; set LEADSCORE_HOST to one that is") from None
    except StartError as error:
        raise StartError(f"{error}; set LEADSCORE_{name.upper()}_PORT to another") from None
    stack.callback(port.release)
    return port.number
