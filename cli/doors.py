"""Where the doors of a running suite are: a file in the data folder, for the other commands."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from services.shared.settings import Settings

FILE = "doors.json"
SERVICES = ("ingest", "scorer", "query")
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # Nothing is bound here.
"""Where a server can be reached that listens everywhere."""


@dataclass(frozen=True)
class Doors:
    """The addresses of a suite's doors, `host:port` each."""

    gateway: str
    ingest: str
    scorer: str
    query: str


def reachable_host(host: str) -> str:
    """Where this machine reaches a server that listens on `host`."""
    return ANY_ADDRESS.get(host, host)


def listening_doors(settings: Settings) -> Doors:
    """The doors of a suite that listens where these settings say."""
    host = reachable_host(settings.host)
    host = f"[{host}]" if ":" in host else host
    return Doors(*(f"{host}:{getattr(settings, f'{name}_port')}" for name in ("gateway", *SERVICES)))


def write_doors(folder: Path, doors: Doors) -> None:
    """Writes down where the suite of a data folder listens."""
    draft = folder / f"{FILE}.new"
    draft.write_text(json.dumps(vars(doors), indent=2) + "\n")
    draft.replace(folder / FILE)


def remove_doors(folder: Path) -> None:
    """There is no suite any more."""
    (folder / FILE).unlink(missing_ok=True)


def read_doors(folder: Path) -> Doors | None:
    """The doors of the suite that runs in a data folder; None if none does. One that was killed leaves them behind."""
    try:
        return Doors(**{name: str(address) for name, address in json.loads((folder / FILE).read_text()).items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def find_doors(settings: Settings, environment: Mapping[str, str]) -> Doors:
    """Where to find a suite: as the environment says, else in the data folder, else at the usual ports."""
    doors = listening_doors(settings)
    running = read_doors(settings.data_dir)
    for name in ("gateway", *SERVICES):
        if name in SERVICES and (address := environment.get(f"LEADSCORE_{name.upper()}_ADDRESS", "").strip()):
            doors = replace(doors, **{name: address})
        # Port 0 says: whichever is free. Which one that was, only the running suite knows.
        elif running and environment.get(f"LEADSCORE_{name.upper()}_PORT", "").strip() in ("", "0"):
            doors = replace(doors, **{name: getattr(running, name)})
    return doors
