"""What a REST caller sees of an error: RFC 9457 problem documents."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import grpc
import msgspec
from google.protobuf.descriptor import Descriptor
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from starlette.responses import Response

from services.shared.errors import FieldViolation, InvalidRequest

STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.CONFLICT,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}
"""From gRPC codes to HTTP; any other is the suite's own fault."""
CODES = {code.value[0]: code for code in grpc.StatusCode}

REASONS = {
    HTTPStatus.BAD_REQUEST: "INVALID_REQUEST",
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.CONFLICT: "CONFLICT",
    HTTPStatus.METHOD_NOT_ALLOWED: "METHOD_NOT_ALLOWED",
    HTTPStatus.REQUEST_TIMEOUT: "REQUEST_TIMEOUT",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "TOO_LARGE",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "UNSUPPORTED_MEDIA_TYPE",
    HTTPStatus.TOO_MANY_REQUESTS: "RESOURCE_EXHAUSTED",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
    HTTPStatus.GATEWAY_TIMEOUT: "DEADLINE_EXCEEDED",
}
"""The reasons of errors that no service gave one: names that stay, whatever Python calls the status."""
MEDIA_TYPE = "application/problem+json"
DETAILS_KEY = "grpc-status-details-bin"
RETRY_AFTER_S = 1
"""For an error that passes and does not say when."""

logger = logging.getLogger(__name__)


class Problem(Exception):
    """An error as it is answered."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        reason: str = "",
        violations: list[FieldViolation] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.reason = reason or REASONS.get(status, "INTERNAL")
        self.violations = violations or []
        self.headers = dict(headers or {})

    @property
    def document(self) -> bytes:
        """The problem as JSON."""
        shown: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "reason": self.reason,
        }
        if self.violations:
            shown["violations"] = [{"field": each.field, "description": each.description} for each in self.violations]
        return msgspec.json.encode(shown)

    @property
    def response(self) -> Response:
        """The problem as a response."""
        return Response(self.document, self.status, self.headers, MEDIA_TYPE)


def of_request(error: InvalidRequest) -> Problem:
    """The problem for a request that the gateway itself finds wrong."""
    return Problem(HTTPStatus.BAD_REQUEST, error.message, reason=error.reason, violations=error.violations)


def of_call(error: aio.AioRpcError, request: Descriptor | None = None, body: str = "*") -> Problem:
    """The problem for a call that failed. Fields are named as in the JSON of `request`, of which `body` was sent."""
    status = _status_of(error)
    if status.details:
        return of_status(status, request, body)
    # Not from a handler of ours: the call did not get there, or did not come back.
    logger.warning("a call failed: %s: %s", error.code().name, error.details())
    return _problem(error.code(), _unreached(error))


def of_status(status: status_pb2.Status, request: Descriptor | None = None, body: str = "*") -> Problem:
    """The same for a status of ours."""
    info, bad_request, retry = (
        _first(status, kind)
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)
    )
    violations = [
        FieldViolation(_json_path(each.field, request, body), each.description)
        for each in (bad_request.field_violations if bad_request else ())
    ]
    detail = "; ".join(str(each) for each in violations[:3]) or status.message
    retry_after_s = max(1, retry.retry_delay.seconds) if retry else RETRY_AFTER_S
    return _problem(CODES[status.code], detail, info.reason if info else "", violations, retry_after_s)


def _problem(
    code: grpc.StatusCode,
    detail: str,
    reason: str = "",
    violations: list[FieldViolation] | None = None,
    retry_after_s: int = RETRY_AFTER_S,
) -> Problem:
    status = STATUSES.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
    headers = {}
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers["retry-after"] = str(retry_after_s)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return Problem(status, detail, reason=reason, violations=violations, headers=headers)


def _unreached(error: aio.AioRpcError) -> str:
    if error.code() == grpc.StatusCode.UNAVAILABLE:
        return "a service that is needed is away; try again"
    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return "the answer did not come in time"
    if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return "the request is larger than is taken"
    return "internal error"


def _status_of(error: aio.AioRpcError) -> status_pb2.Status:
    """The status with its details; empty if no handler of ours sent it."""
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            status.ParseFromString(value)
    return status


def _first(status: status_pb2.Status, kind: type[Any]) -> Any:
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            return detail
    return None


def _json_path(path: str, message: Descriptor | None, body: str) -> str:
    """A path of the contract's names as the caller's JSON has it: lowerCamelCase, from the body on."""
    if body not in ("", "*"):
        path = path.removeprefix(f"{body}.") if path != body else ""
        field = message.fields_by_name.get(body) if message is not None else None
        message = field.message_type if field is not None else None
    shown = []
    parts = path.split(".")
    for index, part in enumerate(parts):
        name, bracket, rest = part.partition("[")
        field = message.fields_by_name.get(name) if message is not None else None
        if field is None:
            shown += parts[index:]
            break
        shown.append(field.json_name + bracket + rest)
        message = field.message_type
        if message is not None and message.full_name.startswith("google.protobuf."):
            message = None  # What is inside of free properties has the caller's own names.
    return ".".join(shown)
