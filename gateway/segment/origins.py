"""Which sites' pages may send calls: what browsers ask for before they send, and before they show the answer."""

import re
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from gateway.problems import Problem
from services.shared.errors import SettingError

VARIABLE = "LEADSCORE_SEGMENT_ORIGINS"
ANY = "*"
HEADERS = "authorization, content-encoding, content-type, x-retry-count"
"""What SDKs send beside what a browser lets every page send."""
ASKED_AGAIN_S = 600
"""How long a browser may go without asking again."""
METHODS = "OPTIONS, POST"

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/,]+")


class Origins:
    """The sites that are let in, beside the gateway's own pages."""

    def __init__(self, setting: str) -> None:
        """`setting` lists origins, parted by commas. Raises SettingError for what is none."""
        self._allowed = frozenset(origin for each in setting.split(",") if (origin := each.strip()))
        for origin in self._allowed:
            if origin != ANY and not _ORIGIN.fullmatch(origin):
                raise SettingError(f"{VARIABLE} must list origins such as https://shop.example, not {origin!r}")

    def headers(self, request: Request) -> dict[str, str]:
        """What lets a browser show the answer to the page that sent a request. Raises Problem for a page of a site that
        is not let in.
        """
        origin = request.headers.get("origin")
        if origin is None or origin.partition("://")[2] == request.headers.get("host", ""):
            return {}
        if not self._allowed & {origin, ANY}:
            detail = f"the pages of {origin[:128]} may not send calls; {VARIABLE} lists those that may"
            raise Problem(HTTPStatus.FORBIDDEN, detail)
        return {"access-control-allow-origin": origin, "vary": "origin"}

    def preflight(self, request: Request) -> Response:
        """Answers what a browser asks before it sends. Raises Problem as `headers` does."""
        allowed = self.headers(request)
        if allowed:
            allowed |= {
                "access-control-allow-methods": "POST",
                "access-control-allow-headers": HEADERS,
                "access-control-max-age": str(ASKED_AGAIN_S),
            }
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"allow": METHODS, **allowed})
