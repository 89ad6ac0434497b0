"""Where the doors of a running suite are: a file in the data folder, for the other commands."""

import json
from dataclasses import replace
from pathlib import Path

from services.shared.settings import Settings

FILE = "doors.json"
SERVICES = ("ingest", "scorer", "query")


def write_doors(settings: Settings) -> None:
    """Writes down where the suite of these settings listens."""
    doors = {f"{name}_port": getattr(settings, f"{name}_port") for name in ("gateway", *SERVICES)}
    draft = settings.data_dir / f"{FILE}.new"
    draft.write_text(json.dumps(doors, indent=2) + "\n")
    draft.replace(settings.data_dir / FILE)


def remove_doors(settings: Settings) -> None:
    """There is no suite any more."""
    (settings.data_dir / FILE).unlink(missing_ok=True)


def find_doors(settings: Settings, environment: dict[str, str]) -> Settings:
    """The settings with the ports of the suite that runs in the data folder, but for those that are set."""
    path = settings.data_dir / FILE
    known = _read(path)
    unset = {name: port for name, port in known.items() if f"LEADSCORE_{name.upper()}" not in environment}
    return replace(settings, **unset)  # type: ignore[arg-type]  # They are all ports.


def _read(path: Path) -> dict[str, int]:
    try:
        return {str(name): int(port) for name, port in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}
