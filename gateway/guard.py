"""What is refused before anything is called: other sites' pages, and names that only seem to be this machine."""

import ipaddress
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.requests import Request

from gateway.channels import Metadata
from gateway.problems import Problem
from services.shared.credentials import AUTHORIZATION, IDEMPOTENCY_KEY, TENANT

HEADER_BYTES_MAX = 4_096
"""Of one header that is forwarded: the services bound all of them together."""
FORWARDED = (AUTHORIZATION, TENANT, IDEMPOTENCY_KEY)
"""Headers that the services see; nothing else of a request reaches them beside its message."""


class Guard:
    """Lets requests through. Where callers without a key are let in, their browsers could be made to call by any page
    they visit: so without a key, only this machine's own names and pages are let in.
    """

    def __init__(self, *, anonymous: bool) -> None:
        self._anonymous = anonymous

    def metadata(self, request: Request) -> Metadata:
        """What a request says of its caller, for the services. Raises Problem if it is not let through."""
        return self.metadata_of(request, {name: request.headers.get(name) for name in FORWARDED})

    def metadata_of(self, request: Request, said: Mapping[str, str | None]) -> Metadata:
        """The same for a request that says it elsewhere than in the headers of that name."""
        if self._anonymous and said.get(AUTHORIZATION) is None:
            self._check_origin(request)
        found = []
        for name, value in said.items():
            if value is not None:
                if not (value.isascii() and value.isprintable() and len(value) <= HEADER_BYTES_MAX):
                    detail = f"the header {name} must be printable ASCII of at most {HEADER_BYTES_MAX} characters"
                    raise Problem(HTTPStatus.BAD_REQUEST, detail)
                found.append((name, value))
        return tuple(found)

    def _check_origin(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if not _is_this_machine(host):
            raise Problem(HTTPStatus.FORBIDDEN, "without a key, only this machine's own address may be called")
        origin = request.headers.get("origin")
        foreign = origin is not None and origin.partition("://")[2] != host
        if foreign or request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Problem(HTTPStatus.FORBIDDEN, "without a key, another site's page may not call")


def _is_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
        return name == "localhost" or ipaddress.ip_address(name or "").is_loopback
    except ValueError:
        return False
