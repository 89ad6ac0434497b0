"""Streams of messages over WebSocket, at the paths at which they are event streams too.

Each message is a JSON text: `{"id": token, "data": {...}}`, with `"snapshot": true` beside if the message says so. A
heartbeat has no data, a stream that cannot be resumed no ids. An error is `{"error": problem}`, and then the line is
closed with a code that says what to do: 1008 do not repeat this, 1013 come back later, 1011 it is our fault. A gateway
that stops closes with 1001.

A browser cannot set headers here: it may offer the subprotocols `leadscore` and `bearer.<key>` instead.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from gateway import streaming
from gateway.channels import Channels
from gateway.guard import Guard
from gateway.paths import UndecodablePath, split_path
from gateway.problems import Problem, of_request
from gateway.routes import Route
from gateway.sse import EventStreams
from gateway.streaming import LAST_WORDS_S, Told, Upstream
from gateway.transcoding import build
from services.shared.credentials import AUTHORIZATION
from services.shared.errors import InvalidRequest

SUBPROTOCOL = "leadscore"
BEARER = "bearer."
INWARD_BYTES_MAX = 4_096
"""Of one message of a client. There is nothing to be said inward; what is said all the same is passed over."""
INWARD_MESSAGES_MAX = 100
LINES_MAX = 10_000
"""As many streams as a service lets the gateway have."""
DONE, GOING_AWAY, REFUSED, OUR_FAULT, COME_BACK = 1000, 1001, 1008, 1011, 1013
COMING_BACK_HELPS = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.GATEWAY_TIMEOUT)

logger = logging.getLogger(__name__)


class WebSockets:
    """Answers whoever wants a WebSocket, at every path of a stream."""

    def __init__(self, routes: Sequence[Route], channels: Channels, guard: Guard, streams: EventStreams) -> None:
        self._routes = [route for route in routes if route.is_stream and route.verb == "GET"]
        self._channels = channels
        self._guard = guard
        self._streams = streams
        self._lines = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one line until there is a reason to close it. What may not call is refused as any request of it."""
        socket = WebSocket(scope, receive, send)
        request = as_request(scope)
        self._lines += 1
        try:
            route, variables = self._find(request)
            metadata = self._guard.metadata(request)
            if self._lines > LINES_MAX:
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "as many watch as can; try again")
            await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
            await self._serve(socket, request, route, variables, metadata)
        except Problem as problem:
            await socket.send_denial_response(problem.response)
        except (WebSocketDisconnect, TimeoutError):
            pass
        except Exception:
            logger.exception("a WebSocket at %r failed", scope["path"])
            await _close(socket, OUR_FAULT)
        finally:
            self._lines -= 1

    def _find(self, request: Request) -> tuple[Route, dict[str, str]]:
        sent = split_path(request.scope["raw_path"])
        try:
            for route in self._routes:
                if (variables := route.template.match(sent)) is not None:
                    return route, variables
        except UndecodablePath as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
        raise Problem(HTTPStatus.NOT_FOUND, "there is no stream at this path; /docs lists what there is")

    async def _serve(
        self, socket: WebSocket, request: Request, route: Route, variables: dict[str, str], metadata: Any
    ) -> None:
        try:
            message = await build(route, variables, request)
            upstream = await self._streams.upstream(route, message, metadata, self._channels[route.service], request)
        except Problem as problem:
            await _fail(socket, problem)
        except InvalidRequest as error:
            await _fail(socket, of_request(error))
        else:
            await Line(socket, upstream, self._streams).serve()


class Line:
    """One open line: until the service or the gateway ends it, or its client goes or says too much."""

    def __init__(self, socket: WebSocket, upstream: Upstream, streams: EventStreams) -> None:
        self._socket = socket
        self._upstream = upstream
        self._streams = streams

    async def serve(self) -> None:
        """Passes messages on until there is a reason to stop."""
        passing = asyncio.create_task(self._pass_on())
        hearing = asyncio.create_task(self._hear())
        closing = asyncio.create_task(self._streams.closed())
        reasons = (passing, hearing, closing)
        try:
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in reasons:
                task.cancel()
            await asyncio.wait(reasons, timeout=LAST_WORDS_S)
            await self._upstream.close()
        if not closing.cancelled():
            await _close(self._socket, GOING_AWAY)
        elif not passing.cancelled():
            await self._end(passing)
        elif not hearing.cancelled() and not hearing.exception():
            await _close(self._socket, REFUSED, "nothing is to be said here")

    async def _end(self, passing: "asyncio.Task[None]") -> None:
        """Closes the line as its passing on ended."""
        error = passing.exception()
        if isinstance(error, Problem):
            await _fail(self._socket, error)
        elif error is None:
            await _close(self._socket, DONE)
        else:
            raise error

    async def _pass_on(self) -> None:
        async for told in self._upstream.messages():
            await _send(self._socket, message_of(told))

    async def _hear(self) -> None:
        """Passes over what the client says. Ends when that is too much; raises WebSocketDisconnect when it goes."""
        for _ in range(INWARD_MESSAGES_MAX):
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"])


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """A line whose client is not waited for: one that does not answer is dropped with all that waits for it."""

    def data_received(self, data: bytes) -> None:
        """Takes what came. A head that is refused, for its size or its letters, is answered and the line closed."""
        try:
            super().data_received(data)
        except UnicodeError:
            self.transport.close()
        if self.conn.handshake_exc is not None and not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_parser_exception(self) -> None:
        """Closes a line on which something came that may not; while it is not open yet, without a word."""
        if self.conn.close_sent is None:
            self.transport.close()
        else:
            super().handle_parser_exception()

    def keepalive_timeout(self) -> None:
        """Drops a client that is gone, or stuck: what is written to it would never be taken."""
        super().keepalive_timeout()
        self.transport.abort()

    def shutdown(self) -> None:
        """Closes the line with the code that says that the server goes."""
        if self.handshake_complete and not self.close_sent and self.conn.state is State.OPEN:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": GOING_AWAY, "reason": None})
            self.conn.send_close(GOING_AWAY)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        super().shutdown()


def as_request(scope: Scope) -> Request:
    """The request that asked for a line, with a key among the subprotocols as the header that it stands for."""
    headers = list(scope["headers"])
    if not any(name == AUTHORIZATION.encode() for name, _ in headers):
        keys = [each.removeprefix(BEARER) for each in scope["subprotocols"] if each.startswith(BEARER)]
        headers += [(AUTHORIZATION.encode(), f"Bearer {key}".encode("latin-1", "replace")) for key in keys[:1]]
    return Request({**scope, "type": "http", "method": "GET", "headers": headers})


def message_of(told: Told) -> str:
    """A message of a stream as it is sent."""
    shown: dict[str, Any] = {"id": told.token} if told.token else {}
    shown |= dict.fromkeys(told.marks, True)
    if told.document:
        shown["data"] = msgspec.Raw(told.document)
    return msgspec.json.encode(shown).decode()


async def _fail(socket: WebSocket, problem: Problem) -> None:
    await _send(socket, msgspec.json.encode({"error": msgspec.Raw(problem.document)}).decode())
    if problem.status in COMING_BACK_HELPS:
        code = COME_BACK
    else:
        code = REFUSED if problem.status < HTTPStatus.INTERNAL_SERVER_ERROR else OUR_FAULT
    await _close(socket, code, problem.reason)


async def _send(socket: WebSocket, text: str) -> None:
    async with asyncio.timeout(streaming.SEND_TIMEOUT_S):
        try:
            await socket.send_text(text)
        except RuntimeError as error:  # The line was closed from within: the gateway stops, or the client is stuck.
            raise WebSocketDisconnect(GOING_AWAY) from error


async def _close(socket: WebSocket, code: int, reason: str = "") -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        async with asyncio.timeout(LAST_WORDS_S):
            await socket.close(code, reason)


def either(http: ASGIApp, websocket: ASGIApp) -> ASGIApp:
    """Answers requests by the one and WebSockets by the other."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await (websocket if scope["type"] == "websocket" else http)(scope, receive, send)

    return answer
