"""The one table from exceptions to gRPC codes, and what a status says beside its code."""

import logging
import uuid

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.shared import errors

DOMAIN = "leadscore"
"""The `ErrorInfo.domain` of every reason of the suite."""

CODES: dict[type[errors.CallerError], int] = {
    errors.InvalidRequest: code_pb2.INVALID_ARGUMENT,
    errors.Unauthenticated: code_pb2.UNAUTHENTICATED,
    errors.PermissionDenied: code_pb2.PERMISSION_DENIED,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.FailedPrecondition: code_pb2.FAILED_PRECONDITION,
    errors.EditedMeanwhile: code_pb2.ABORTED,
    errors.TooMany: code_pb2.RESOURCE_EXHAUSTED,
    errors.NotCaughtUp: code_pb2.DEADLINE_EXCEEDED,
    errors.TimedOut: code_pb2.DEADLINE_EXCEEDED,
    errors.StreamFull: code_pb2.RESOURCE_EXHAUSTED,
    errors.Unavailable: code_pb2.UNAVAILABLE,
}

logger = logging.getLogger(__name__)


def to_status(error: BaseException) -> grpc.Status:
    """The status that a caller sees for `error`. What is not meant for callers is logged under a number and hidden."""
    if isinstance(error, errors.CallerError):
        return rpc_status.to_status(status_message(error))
    incident = uuid.uuid4().hex[:12]
    logger.error("incident %s", incident, exc_info=error)
    internal = errors.CallerError(f"internal error; the log has it as incident {incident}", reason="INTERNAL")
    return rpc_status.to_status(status_message(internal))


def status_message(error: errors.CallerError) -> status_pb2.Status:
    """The same as a message, for an answer that has several."""
    status = status_pb2.Status(code=CODES.get(type(error), code_pb2.INTERNAL), message=error.message)
    _add(status.details.add(), error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))
    if isinstance(error, errors.InvalidRequest):
        bad_request = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad_request.field_violations.add(field=violation.field, description=violation.description)
        _add(status.details.add(), bad_request)
    if isinstance(error, errors.RetriableError):
        delay = duration_pb2.Duration(nanos=int(error.retry_after_s % 1 * 1e9), seconds=int(error.retry_after_s))
        _add(status.details.add(), error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def _add(packed: any_pb2.Any, detail: object) -> None:
    packed.Pack(detail)  # type: ignore[arg-type]
