"""What is refused before anything is called: other sites' pages, and names that only seem to be this machine."""

import ipaddress
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.requests import Request

from gateway.channels import Metadata
from gateway.problems import Problem
from services.shared.credentials import AUTHORIZATION, IDEMPOTENCY_KEY, TENANT

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
        if self._anonymous and AUTHORIZATION not in request.headers:
            self._check_origin(request)
        found = []
        for name in FORWARDED:
            if (value := request.headers.get(name)) is not None:
                if not (value.isascii() and value.isprintable()):
                    raise Problem(HTTPStatus.BAD_REQUEST, f"the header {name} must be printable ASCII")
                found.append((name, value))
        return tuple(found)

    def _check_origin(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if not _is_this_machine(urlsplit(f"//{host}").hostname or ""):
            raise Problem(HTTPStatus.FORBIDDEN, "without a key, only this machine's own address may be called")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise Problem(HTTPStatus.FORBIDDEN, "without a key, another site's page may not call")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
