"""How the commands reach a suite: where it is, who is asking, and errors as one sentence."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
import grpc
from google.rpc import error_details_pb2, status_pb2

from cli.doors import Doors, find_doors
from services.shared.credentials import AUTHORIZATION, TENANT
from services.shared.errors import FieldViolation, SettingError
from services.shared.settings import Settings, read_settings

CALL_DEADLINE_S = 30.0
DETAILS_KEY = "grpc-status-details-bin"
OPTIONS = (
    # A page of events may be larger than grpc's usual 4 MiB.
    ("grpc.max_receive_message_length", -1),
    # A peer that vanished without a word is noticed.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A service that was restarted is reached again within a second; grpc would wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A proxy for the web is no way to a suite on this machine or in this network.
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True)
class Suite:
    """The suite that the commands talk to, and how they say who is asking."""

    settings: Settings
    doors: Doors
    metadata: tuple[tuple[str, str], ...]

    def address(self, service: str) -> str:
        """The address of a door, `host:port`."""
        return str(getattr(self.doors, service))

    @contextmanager
    def channel(self, service: str) -> Iterator[grpc.Channel]:
        """A channel to a service."""
        with grpc.insecure_channel(self.address(service), options=OPTIONS) as channel:
            yield channel

    @contextmanager
    def call(self, service: str) -> Iterator[grpc.Channel]:
        """A channel to a service; a call that fails ends the command with a sentence and exit code 1."""
        try:
            with self.channel(service) as channel:
                yield channel
        except grpc.RpcError as error:
            raise click.ClickException(self.sentence(error, service)) from None

    def sentence(self, error: Any, service: str) -> str:
        """What the failure of a call of `service` means for a person."""
        code, said = error.code(), str(error.details() or "")
        if violations := violations_of(error):
            return "; ".join(map(str, violations))
        if code == grpc.StatusCode.UNAUTHENTICATED:
            return f"{said}; set LEADSCORE_API_KEY"
        if said and _detail(error, error_details_pb2.ErrorInfo) is not None:
            return said
        if code == grpc.StatusCode.UNAVAILABLE:
            remedy = f"start the suite (`make run`) or set LEADSCORE_{service.upper()}_ADDRESS"
            return f"{service} does not answer at {self.address(service)}; {remedy}"
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{service} at {self.address(service)} did not answer in time; `leadscore doctor` says more"
        return f"{service} at {self.address(service)}: {said or 'failed'} ({code.name})"


def violations_of(error: Any) -> list[FieldViolation]:
    """What is wrong with the request, field by field; empty if it failed for another reason."""
    bad_request = _detail(error, error_details_pb2.BadRequest)
    return (
        [FieldViolation(each.field, each.description) for each in bad_request.field_violations] if bad_request else []
    )


def find_suite(tenant: str | None) -> Suite:
    """The suite that the environment names, or the one that runs in the data folder. Raises SettingError."""
    settings = read_settings()
    metadata = []
    if key := settings.api_key or settings.admin_key:
        name = "LEADSCORE_API_KEY" if settings.api_key else "LEADSCORE_ADMIN_KEY"
        metadata.append((AUTHORIZATION, f"Bearer {_printable(name, key)}"))
    if tenant:
        metadata.append((TENANT, _printable("--tenant", tenant)))
    return Suite(settings, find_doors(settings, os.environ), tuple(metadata))


def _printable(name: str, text: str) -> str:
    """Only such text can be sent in metadata."""
    if not (text.isascii() and text.isprintable()):
        raise SettingError(f"{name} must be printable ASCII")
    return text


def _detail(error: Any, kind: type[Any]) -> Any:
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY:
            status.ParseFromString(value)
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            return detail
    return None
