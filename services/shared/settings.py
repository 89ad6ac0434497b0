"""Every setting there is, read once from the environment at start.

`SETTINGS` is the one list: the README's table is held against it by a test.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from services.shared.errors import SettingError

PORT_MAX = 65_535
LOOPBACK = "127.0.0.1"
PROCESSES_MAX = 16
"""Of each kind on one machine; the embedded PostgreSQL has connections for so many."""
PARTITIONS_MAX = 256
"""More lines than this cost more in bookkeeping than they give in parallel work."""


def _setting(variable: str, default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"variable": variable, "meaning": meaning})


@dataclass(frozen=True)
class Settings:
    """The settings of one process. Every process reads the same list and uses what it needs."""

    host: str = _setting("LEADSCORE_HOST", "127.0.0.1", "address that the doors listen on")
    gateway_port: int = _setting("LEADSCORE_GATEWAY_PORT", 8080, "REST and dashboard; 0 = a free port")
    ingest_port: int = _setting("LEADSCORE_INGEST_PORT", 50051, "gRPC door of ingest; 0 = a free port")
    scorer_port: int = _setting("LEADSCORE_SCORER_PORT", 50052, "gRPC door of the scorer; 0 = a free port")
    query_port: int = _setting("LEADSCORE_QUERY_PORT", 50053, "gRPC door of query; 0 = a free port")
    gateway_processes: int = _setting("LEADSCORE_GATEWAY_PROCESSES", 1, "gateways that `leadscore up` runs on one port")
    ingest_processes: int = _setting(
        "LEADSCORE_INGEST_PROCESSES", 1, "processes of ingest that `leadscore up` runs on one port"
    )
    scorer_processes: int = _setting("LEADSCORE_SCORER_PROCESSES", 1, "scorers that `leadscore up` runs on one port")
    query_processes: int = _setting(
        "LEADSCORE_QUERY_PROCESSES", 1, "processes of query that `leadscore up` runs on one port"
    )
    own_port: int = _setting(
        "LEADSCORE_OWN_PORT", 0, "a local port of one process that shares its kind's port; 0 = it shares none"
    )
    ingest_address: str = _setting(
        "LEADSCORE_INGEST_ADDRESS", "", "where gateway and CLI find ingest; default: this machine, its port"
    )
    scorer_address: str = _setting(
        "LEADSCORE_SCORER_ADDRESS", "", "where gateway and CLI find the scorer; default: this machine, its port"
    )
    query_address: str = _setting(
        "LEADSCORE_QUERY_ADDRESS", "", "where gateway and CLI find query; default: this machine, its port"
    )
    data_dir: Path = _setting("LEADSCORE_DATA_DIR", Path("data"), "folder of the embedded servers' data")
    database_url: str = _setting(
        "LEADSCORE_DATABASE_URL", "", "PostgreSQL 15 or newer, as postgresql://...; default: the embedded one"
    )
    nats_url: str = _setting(
        "LEADSCORE_NATS_URL", "", "nats-server 2.12 or newer with JetStream; default: the embedded one"
    )
    admin_key: str = _setting(
        "LEADSCORE_ADMIN_KEY", "", "bootstrap key, may act for any tenant; made and printed once if not given"
    )
    admin_key_sha256: str = _setting("LEADSCORE_ADMIN_KEY_SHA256", "", "its SHA-256 in hex, in place of the key itself")
    api_key: str = _setting("LEADSCORE_API_KEY", "", "key that the CLI shows; default: LEADSCORE_ADMIN_KEY")
    tenant: str = _setting("LEADSCORE_TENANT", "demo", "tenant that the bootstrap key acts for if none is named")
    anonymous: bool = _setting(
        "LEADSCORE_ANONYMOUS", False, "1: callers without a key act for LEADSCORE_TENANT; for one machine only"
    )
    segment_mapping: str = _setting(
        "LEADSCORE_SEGMENT_MAPPING",
        "",
        "what Segment's events and traits are called here, as JSON; see docs/segment.md",
    )
    segment_origins: str = _setting(
        "LEADSCORE_SEGMENT_ORIGINS", "", "sites whose pages may send Segment's calls: https://shop.example, ... or *"
    )
    partitions: int = _setting("LEADSCORE_PARTITIONS", 16, "ordered lines of the stream; fixed when it is created")
    stream_bytes_max: int = _setting(
        "LEADSCORE_STREAM_BYTES_MAX", 8 << 30, "size at which the stream refuses new events"
    )
    scores_bytes_max: int = _setting(
        "LEADSCORE_SCORES_BYTES_MAX", 1 << 30, "size of announced changes kept for watchers that come back"
    )
    replicas: int = _setting("LEADSCORE_REPLICAS", 1, "copies of each stream in a NATS cluster")
    log_level: str = _setting("LEADSCORE_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR")

    def target(self, service: str) -> str:
        """The gRPC address of `service` ("ingest", "scorer" or "query")."""
        given = getattr(self, f"{service}_address")
        return given or f"{LOOPBACK}:{getattr(self, f'{service}_port')}"


SETTINGS = fields(Settings)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings from the environment. Raises SettingError with the variable's name and what it may be."""
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for each in SETTINGS:
        variable = each.metadata["variable"]
        given = environment.get(variable, "").strip()
        if given:
            values[each.name] = _parse(variable, given, each.default)
    settings = Settings(**values)
    _check(settings)
    return settings


def _parse(variable: str, given: str, default: object) -> object:
    if isinstance(default, bool):
        if given not in ("0", "1"):
            raise SettingError(f"{variable} must be 0 or 1, not {given!r}")
        return given == "1"
    if isinstance(default, int):
        try:
            return int(given)
        except ValueError:
            raise SettingError(f"{variable} must be a whole number, not {given!r}") from None
    return Path(given) if isinstance(default, Path) else given


def _check(settings: Settings) -> None:
    for each in SETTINGS:
        value = getattr(settings, each.name)
        if each.name.endswith("_port") and not 0 <= value <= PORT_MAX:
            raise SettingError(f"{each.metadata['variable']} must be a port, 0 to {PORT_MAX}, not {value}")
        if each.name.endswith("_processes") and not 1 <= value <= PROCESSES_MAX:
            raise SettingError(f"{each.metadata['variable']} must be 1 to {PROCESSES_MAX}, not {value}")
    if not 1 <= settings.partitions <= PARTITIONS_MAX:
        raise SettingError(f"LEADSCORE_PARTITIONS must be 1 to {PARTITIONS_MAX}, not {settings.partitions}")
    if settings.log_level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingError(f"LEADSCORE_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {settings.log_level!r}")
