"""The gateway's application: what is answered where."""

import logging
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path
from starlette.routing import request_response

from gateway.channels import Channels
from gateway.export_docs import EXPORT_PATHS
from gateway.exports import Exports
from gateway.guard import Guard
from gateway.openapi import openapi_document
from gateway.pages import SecurityHeaders, document, page
from gateway.problems import Problem
from gateway.readiness import Readiness
from gateway.routes import ROUTED, routes_of
from gateway.segment.docs import SEGMENT_PATHS
from gateway.segment.service import SegmentIntake
from gateway.sse import EventStreams
from gateway.transcoding import Transcoder
from gateway.upload_docs import UPLOAD_PATHS
from gateway.uploads import Uploads
from gateway.websocket import WebSockets, either

logger = logging.getLogger(__name__)


def build_application(channels: Channels, guard: Guard, streams: EventStreams, segment: SegmentIntake) -> Any:
    """The application over the services' channels."""
    routes = routes_of(ROUTED)
    readiness = Readiness(channels)
    application = Starlette(
        routes=[
            Path("/", page("index.html")),
            Path("/docs", page("docs.html")),
            *(Path(f"/{name}", page(name)) for name in ("app.js", "docs.js", "style.css", "icon.svg")),
            Path("/openapi.json", document(api_document())),
            Path("/healthz", readiness.healthz),
            Path("/readyz", readiness.readyz),
            Path("/v1/events:upload", Uploads(channels["ingest"], guard).upload, methods=["POST"]),
            *segment.routes,
            Path("/v1/exports/{file}", Exports(channels["query"], guard).export, methods=["GET"]),
        ],
        exception_handlers={HTTPStatus.METHOD_NOT_ALLOWED: _wrong_method, Exception: _failed},
    )
    # Behind the fixed paths, not among them: a wrong method for one of those is said to be that.
    application.router.redirect_slashes = False
    calls = request_response(Transcoder(routes, channels, guard, streams).handle)
    application.router.default = either(calls, WebSockets(routes, channels, guard, streams))
    return SecurityHeaders(application)


def api_document() -> dict[str, Any]:
    """What `/openapi.json` says."""
    return openapi_document(routes_of(ROUTED), {**UPLOAD_PATHS, **EXPORT_PATHS, **SEGMENT_PATHS})


async def _wrong_method(request: Request, error: Exception) -> Response:
    headers = getattr(error, "headers", None)
    detail = f"{request.method} is not for this path; {(headers or {}).get('Allow', 'another')} is"
    return Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers=headers).response


async def _failed(request: Request, error: Exception) -> Response:
    logger.error("%s %r failed", request.method, request.scope["path"], exc_info=error)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error").response
