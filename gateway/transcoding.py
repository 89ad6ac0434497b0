"""From a REST request to the RPC that its path names, and back."""

from collections.abc import Sequence
from http import HTTPStatus

from google.protobuf.message import Message
from grpc import aio
from starlette.requests import Request
from starlette.responses import Response

from gateway.bodies import read_body
from gateway.channels import Channels, Metadata
from gateway.guard import Guard
from gateway.json_reading import fields_by_name, parse_json, read_into, read_parameters
from gateway.json_writing import to_json
from gateway.paths import UndecodablePath, split_path
from gateway.problems import Problem, of_call, of_request
from gateway.routes import Route
from gateway.sse import EventStreams
from services.shared.errors import FieldViolation, InvalidRequest

CALL_DEADLINE_S = 30.0
"""How long a service may take to answer."""


class Transcoder:
    """Answers every route of the contracts."""

    def __init__(self, routes: Sequence[Route], channels: Channels, guard: Guard, streams: EventStreams) -> None:
        self._routes = routes
        self._channels = channels
        self._guard = guard
        self._streams = streams

    async def handle(self, request: Request) -> Response:
        """Answers a request; errors as problems."""
        try:
            route, variables = self._find(request)
            metadata = self._guard.metadata(request)
            message = await build(route, variables, request)
            if route.is_stream:
                return await self._streams.open(route, message, metadata, self._channels[route.service], request)
            answer = await self._call(route, message, metadata)
            return Response(to_json(answer), media_type="application/json")
        except Problem as problem:
            return problem.response
        except InvalidRequest as error:
            return of_request(error).response

    async def _call(self, route: Route, message: Message, metadata: Metadata) -> Message:
        call = self._channels[route.service].unary_unary(
            route.rpc,
            request_serializer=route.request_type.SerializeToString,
            response_deserializer=route.response_type.FromString,
        )
        try:
            answer: Message = await call(message, timeout=CALL_DEADLINE_S, metadata=metadata)
            return answer
        except aio.AioRpcError as error:
            raise of_call(error, route.method.input_type, route.body) from error

    def _find(self, request: Request) -> tuple[Route, dict[str, str]]:
        try:
            sent = split_path(request.scope.get("raw_path") or request.url.path.encode())
        except UndecodablePath as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
        verb = "GET" if request.method == "HEAD" else request.method
        allowed = set()
        for route in self._routes:
            if (variables := route.template.match(sent)) is not None:
                if route.verb == verb:
                    return route, variables
                allowed.add(route.verb)
        if allowed:
            detail = f"{request.method} is not for this path"
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers={"allow": ", ".join(sorted(allowed))})
        raise Problem(HTTPStatus.NOT_FOUND, "there is nothing at this path; /docs lists what there is")


async def build(route: Route, variables: dict[str, str], request: Request) -> Message:
    """The message for a route from a request's body, parameters and path. Raises InvalidRequest, Problem."""
    message = route.request_type()
    if route.body:
        document = parse_json(await read_body(request))
        target = message if route.body == "*" else getattr(message, route.body)
        if target is not message:
            target.SetInParent()
        read_into(document, target)
    taken = [field.name for field in route.method.input_type.fields] if route.body == "*" else [route.body]
    read_parameters(request.query_params.multi_items(), message, [*taken, *variables])
    _set_variables(message, variables)
    return message


def _set_variables(message: Message, variables: dict[str, str]) -> None:
    fields = fields_by_name(message.DESCRIPTOR)
    for name, value in variables.items():
        in_body = getattr(message, name)
        if in_body and in_body != value:
            raise InvalidRequest([FieldViolation(fields[name].json_name, "differs from the one in the path")])
        setattr(message, name, value)
