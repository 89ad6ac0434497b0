"""`POST /v1/events:upload`: a file of events, imported while it comes in.

The body is multipart/form-data with a part `file` and, before it, optionally a part `mapping`; or it is the file
itself, with the mapping as a query parameter. It is read no faster than ingest takes its events, and never held whole.
"""

from http import HTTPStatus
from typing import Any

from grpc import aio
from leadscore.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.guard import Guard
from gateway.problems import Problem, of_call
from gateway.upload_sources import UploadEnded, shown, source_of
from intake.errors import FileRefused, ImportFailed, IntakeError, MappingRefused, ReadingEnded
from intake.importing import IMPORT_ID_PATTERN, import_file, new_import_id
from intake.mapping import Mapping, parse_mapping
from intake.outcome import ImportSummary

PARAMETERS = {"importId": "importId", "import_id": "importId", "mapping": "mapping"}
REASONS = {FileRefused: "FILE_REFUSED", MappingRefused: "MAPPING_REFUSED", ReadingEnded: "UPLOAD_ENDED"}


class Uploads:
    """Answers uploads."""

    def __init__(self, channel: aio.Channel, guard: Guard) -> None:
        self._stub = IngestServiceStub(channel)
        self._guard = guard

    async def upload(self, request: Request) -> Response:
        """Imports the file in a request; errors as problems."""
        try:
            return await self._import(request)
        except Problem as problem:
            return problem.response

    async def _import(self, request: Request) -> Response:
        metadata = self._guard.metadata(request)
        parameters = _parameters(request)
        import_id = parameters.get("importId") or new_import_id()
        source = source_of(request, _given_mapping(parameters))
        try:
            summary = await import_file(self._stub, source.open, import_id=import_id, metadata=metadata)
        except ImportFailed as failed:
            raise _problem(failed, import_id, source.advice) from failed
        return JSONResponse(_document(summary), HTTPStatus.ACCEPTED, {"location": _location(import_id)})


def _parameters(request: Request) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        known = PARAMETERS.get(name)
        if known is None or known in found:
            mistake = "is not known" if known is None else "is given twice"
            raise Problem(HTTPStatus.BAD_REQUEST, f"the query parameter {shown(name)} {mistake}")
        found[known] = value
    if "importId" in found and not IMPORT_ID_PATTERN.fullmatch(found["importId"]):
        raise Problem(HTTPStatus.BAD_REQUEST, "importId must be 1 to 64 letters, digits, dashes and underscores")
    return found


def _given_mapping(parameters: dict[str, str]) -> Mapping | None:
    try:
        return parse_mapping(parameters["mapping"]) if "mapping" in parameters else None
    except MappingRefused as refused:
        raise Problem(HTTPStatus.BAD_REQUEST, refused.reason, reason=REASONS[MappingRefused]) from None


def _problem(failed: ImportFailed, import_id: str, advice: str) -> Problem:
    cause = failed.__cause__
    if isinstance(cause, aio.AioRpcError):
        return of_call(cause)
    assert isinstance(cause, IntakeError), "nothing else makes an import fail"
    status = cause.status if isinstance(cause, UploadEnded) else HTTPStatus.BAD_REQUEST
    reason = next((name for kind, name in REASONS.items() if isinstance(cause, kind)), "")
    detail = failed.reason + advice if isinstance(cause, FileRefused) else failed.reason
    headers = {"location": _location(import_id)}
    if status is not HTTPStatus.BAD_REQUEST:
        # The sender goes on sending what nobody will read.
        headers["connection"] = "close"
    return Problem(status, detail, reason=reason, headers=headers)


def _location(import_id: str) -> str:
    return f"/v1/imports/{import_id}"


def _document(summary: ImportSummary) -> dict[str, Any]:
    return {
        "importId": summary.import_id,
        "rowsRead": summary.rows_read,
        "accepted": summary.accepted,
        "duplicates": summary.duplicates,
        "rejected": summary.rejected,
        "consistencyToken": summary.consistency_token,
    }
