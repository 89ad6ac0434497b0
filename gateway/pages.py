"""What is served beside the contracts: the dashboard, the documentation, and the headers that every answer has."""

from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

DASHBOARD = Path(__file__).parent / "dashboard"
PARTS = {"app.js": ("api.js", "board.js", "lead.js", "erase.js", "charts.js", "analytics.js", "app.js")}
"""What is served as one file, in this order: a browser asks once, and there is nothing to build."""
MEDIA_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def page(name: str) -> Callable[[Request], Awaitable[Response]]:
    """Serves a file of the dashboard."""
    content = b"\n".join((DASHBOARD / part).read_bytes() for part in PARTS.get(name, (name,)))
    media_type = MEDIA_TYPES[name.rpartition(".")[2]]

    async def serve(request: Request) -> Response:
        return Response(content, media_type=media_type, headers={"cache-control": "no-cache"})

    return serve


def document(content: dict[str, Any]) -> Callable[[Request], Awaitable[Response]]:
    """Serves a document as JSON."""

    async def serve(request: Request) -> Response:
        return JSONResponse(content)

    return serve


class SecurityHeaders:
    """Puts the security headers on every answer."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request of any kind."""

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
