"""What the OpenAPI document says of streams: server-sent events, and the same over WebSocket, of which OpenAPI has no
notion: the description of a stream's GET says how it is opened.
"""

from typing import Any

from gateway.routes import Route
from gateway.sse import RESUME_PARAMETERS, RETRY_MS
from gateway.websocket import BEARER, COME_BACK, DONE, GOING_AWAY, OUR_FAULT, REFUSED, SUBPROTOCOL

EVENT_STREAM = "text/event-stream"


def stream_parameters(route: Route) -> list[dict[str, Any]]:
    """The parameters that a stream has beside the fields of its request."""
    if not route.is_resumable:
        return []
    behind = "The `id:` of the last event seen: go on behind it."
    no_header = "The same, for clients that cannot set headers; not together with `resumeToken`."
    return [
        _parameter("Last-Event-ID", "header", behind),
        *(_parameter(name, "query", no_header) for name in RESUME_PARAMETERS),
    ]


def stream_response(route: Route, name: str) -> dict[str, Any]:
    """The response of a stream whose messages have the schema `name`."""
    reference = f"#/components/schemas/{name}"
    shown = f"`data:` is the JSON of [{name}]({reference}); comments are heartbeats"
    if route.is_resumable:
        shown = f"`id:` is a resume token, {shown}"
    about = f"Server-sent events: {shown}. An `event: error` has a problem as its data and is the last one."
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": {"$ref": reference}}
    event: dict[str, Any] = {
        "type": "object",
        "description": "One event.",
        "properties": {
            "data": data,
            "event": {"type": "string", "enum": ["message", "error"]},
            "retry": {"type": "integer", "const": RETRY_MS},
        },
    }
    if route.is_resumable:
        event["properties"]["id"] = {"type": "string"}
    return {"description": about, "content": {EVENT_STREAM: {"schema": event}}}


def over_websocket(route: Route, name: str) -> str:
    """How a stream is opened over WebSocket, and what comes."""
    message = f'`{{"id": token, "data": {name}}}`' if route.is_resumable else f'`{{"data": {name}}}`'
    more = "; an empty object is a heartbeat" if route.response_body else ""
    if route.is_resumable:
        more = '; without data it is a heartbeat, and a state of a snapshot has `"snapshot": true` too'
    return (
        f"Over WebSocket: the same path and parameters. A client that cannot set an `authorization` header offers the "
        f"subprotocols `{SUBPROTOCOL}` and `{BEARER}<key>`, of which the first is taken. Each message is a JSON text, "
        f"{message}{more}. Nothing is to be said inward. "
        'An error is `{"error": problem}`, and then the line is closed with a code: '
        f"{REFUSED} do not repeat this, {COME_BACK} come back later, {OUR_FAULT} it is our fault. "
        f"A stream that is done is closed with {DONE}, by a gateway that stops with {GOING_AWAY}."
    )


def _parameter(name: str, place: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "description": description, "schema": {"type": "string"}}
