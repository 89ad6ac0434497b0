"""From a REST request to the RPC that its path names, and back."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus

from google.protobuf.message import Message
from grpc import aio
from leadscore.ingest.v1.ingest_service_pb2 import PublishEventRequest
from starlette.requests import Request
from starlette.responses import Response

from gateway.bodies import read_body
from gateway.channels import CALL_DEADLINE_S, Channels, Metadata
from gateway.gathering import Gathering, Refused
from gateway.guard import Guard
from gateway.json_reading import read_into
from gateway.json_text import parse_json
from gateway.json_writing import to_json
from gateway.parameters import read_parameters, read_variables
from gateway.paths import UndecodablePath, split_path
from gateway.problems import Problem, of_call, of_request, of_status
from gateway.routes import Route
from gateway.sse import RESUME_PARAMETERS, EventStreams
from services.shared.errors import InvalidRequest
from services.shared.server import MESSAGE_BYTES_MAX

QUICK_BYTES_MAX = 64 * 1024
"""A larger body is read beside the event loop, so that nobody else's events wait for it."""


class Transcoder:
    """Answers every route of the contracts."""

    def __init__(self, routes: Sequence[Route], channels: Channels, guard: Guard, streams: EventStreams) -> None:
        self._routes = routes
        self._by_path: dict[bytes, list[Route]] = {}
        """Routes without variables, by their paths: no other template may go before them."""
        for route in routes:
            if not route.template.variables:
                self._by_path.setdefault(route.template.text.encode(), []).append(route)
        self._channels = channels
        self._guard = guard
        self._streams = streams
        self._gathering = Gathering(channels["ingest"])

    async def handle(self, request: Request) -> Response:
        """Answers a request; errors as problems."""
        try:
            route, variables = self._find(request)
            metadata = self._guard.metadata(request)
            message = await build(route, variables, request)
            if route.is_stream:
                return await self._streams.open(route, message, metadata, self._channels[route.service], request)
            answer = await self._call(route, message, metadata)
            shown = getattr(answer, route.response_body) if route.response_body else answer
            return Response(to_json(shown), media_type="application/json")
        except Problem as problem:
            return problem.response
        except InvalidRequest as error:
            return of_request(error).response

    async def _call(self, route: Route, message: Message, metadata: Metadata) -> Message:
        try:
            if isinstance(message, PublishEventRequest):
                return await self._gathering.publish(message, metadata)
            call = self._channels[route.service].unary_unary(
                route.rpc,
                request_serializer=route.request_type.SerializeToString,
                response_deserializer=route.response_type.FromString,
            )
            answer: Message = await call(message, timeout=CALL_DEADLINE_S, metadata=metadata)
            return answer
        except aio.AioRpcError as error:
            raise of_call(error, route.method.input_type, route.body) from error
        except Refused as error:
            raise of_status(error.status, route.method.input_type, route.body) from error

    def _find(self, request: Request) -> tuple[Route, dict[str, str]]:
        fitting = self._fitting(request.scope.get("raw_path") or request.scope["path"].encode())
        for route, variables in fitting:
            if request.method == route.verb or (
                request.method == "HEAD" and route.verb == "GET" and not route.is_stream
            ):
                return route, variables
        if not fitting:
            raise Problem(HTTPStatus.NOT_FOUND, "there is nothing at this path; /docs lists what there is")
        allowed = ", ".join(sorted({route.verb for route, _ in fitting}))
        detail = f"{request.method} is not for this path; {allowed} is"
        raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers={"allow": allowed})

    def _fitting(self, path: bytes) -> list[tuple[Route, dict[str, str]]]:
        if plain := self._by_path.get(path):
            return [(route, {}) for route in plain]
        sent = split_path(path)
        try:
            matched = [(route, route.template.match(sent)) for route in self._routes]
        except UndecodablePath as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
        fitting = [(route, variables) for route, variables in matched if variables is not None]
        # What is said in so many words decides, whatever the method: `7:cancel` is no operation's id.
        return [each for each in fitting if each[0].template.precedence == fitting[0][0].template.precedence]


async def build(route: Route, variables: dict[str, str], request: Request) -> Message:
    """The message for a route from a request's body, parameters and path. Raises InvalidRequest, Problem."""
    message = route.request_type()
    if route.body:
        body = await read_body(request)
        if len(body) > QUICK_BYTES_MAX:
            await asyncio.to_thread(_read_document, route, body, message)
        else:
            _read_document(route, body, message)
    taken = {field.name for field in message.DESCRIPTOR.fields} if route.body == "*" else {route.body, *variables}
    taken.update(route.template.variables)
    aliases = RESUME_PARAMETERS if route.is_resumable else {}
    read_parameters(request.scope.get("query_string", b""), message, taken, aliases)
    read_variables(variables, message)
    if message.ByteSize() > MESSAGE_BYTES_MAX:
        detail = f"the request has {message.ByteSize()} bytes as a message; at most {MESSAGE_BYTES_MAX} are taken"
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    return message


def _read_document(route: Route, body: bytes, message: Message) -> None:
    target = message
    if route.body != "*":
        target = getattr(message, route.body)
        target.SetInParent()
    read_into(parse_json(body), target)
