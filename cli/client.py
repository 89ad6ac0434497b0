"""How the commands reach a suite: where it is, who is asking, and errors as one sentence."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
import grpc
from google.rpc import error_details_pb2, status_pb2

from cli.doors import find_doors
from services.shared.credentials import AUTHORIZATION, TENANT
from services.shared.errors import LeadscoreError
from services.shared.settings import Settings, read_settings

CALL_DEADLINE_S = 30.0
CONNECT_DEADLINE_S = 5.0
DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True)
class Suite:
    """The suite that the commands talk to."""

    settings: Settings
    metadata: tuple[tuple[str, str], ...]

    def address(self, service: str) -> str:
        """The gRPC address of a service."""
        return self.settings.target(service)

    @contextmanager
    def channel(self, service: str) -> Iterator[grpc.Channel]:
        """A channel to a service."""
        with grpc.insecure_channel(self.address(service)) as channel:
            yield channel


def find_suite(tenant: str | None) -> Suite:
    """The suite that the environment names, or the one that runs in the data folder."""
    settings = find_doors(read_settings(), dict(os.environ))
    key = settings.api_key or settings.admin_key
    metadata = [(AUTHORIZATION, f"Bearer {key}")] if key else []
    if tenant:
        metadata.append((TENANT, tenant))
    return Suite(settings, tuple(metadata))


@contextmanager
def sentences(suite: Suite) -> Iterator[None]:
    """Turns what can go wrong into one sentence and exit code 1."""
    try:
        yield
    except grpc.RpcError as error:
        raise click.ClickException(sentence_of(error, suite)) from None
    except LeadscoreError as error:
        raise click.ClickException(str(error)) from None


def sentence_of(error: Any, suite: Suite) -> str:
    """What a failed call means for a person."""
    code = error.code()
    if code == grpc.StatusCode.UNAVAILABLE and _detail(error, error_details_pb2.ErrorInfo) is None:
        gateway = f"{suite.settings.host}:{suite.settings.gateway_port}"
        return f"no suite answers ({error.details()}); is it running? `make run` starts one (expected at {gateway})"
    if code == grpc.StatusCode.UNAUTHENTICATED:
        return f"{error.details()}; set LEADSCORE_API_KEY"
    bad_request = _detail(error, error_details_pb2.BadRequest)
    if bad_request is not None and bad_request.field_violations:
        return "; ".join(f"{each.field}: {each.description}" for each in bad_request.field_violations)
    return str(error.details() or code.name.lower())


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
