"""`POST /v1/events:upload`: a file of events, imported while it comes in.

The body is multipart/form-data with a part `file` and, before it, optionally a part `mapping`; or it is the file itself,
with the mapping as a query parameter. It is read no faster than ingest takes its events, and never held whole.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from grpc import aio
from leadscore.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from gateway.guard import Guard
from gateway.multipart import MULTIPART, Form, Part, boundary_of
from gateway.problems import Problem, of_call
from intake.errors import FileRefused, ImportFailed, IntakeError, MappingRefused, ReadingEnded
from intake.formats import CONTENT_TYPES
from intake.importing import IMPORT_ID_PATTERN, ImportSummary, SourceFile, import_file, new_import_id
from intake.mapping import Mapping, parse_mapping
from intake.rows import printable

UPLOAD_BYTES_MAX = 1 << 30
"""Some ten million events; more is better sent as several files, each of which can be repeated by itself."""
MAPPING_BYTES_MAX = 64 * 1024
"""Thousands of names."""
AHEAD_BYTES_MAX = 4 << 20
"""Of a file without a mapping before it, so much is looked through for a mapping behind it before its rows are sent:
browsers and people put parts in any order, and rows sent under wrong names cannot be taken back.
"""
IDLE_TIMEOUT_S = 60.0
"""A sender who is silent for so long is gone."""
SHOWN_CHARACTERS_MAX = 64

PARAMETERS = {"importId": "importId", "import_id": "importId", "mapping": "mapping"}
RAW_TYPES = (*CONTENT_TYPES, "application/gzip", "application/x-gzip", "application/octet-stream")


class UploadEnded(ReadingEnded):
    """The body ends the import, with a status that says what kind of mistake it is."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


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
        source = _source(request, _given_mapping(parameters))
        try:
            summary = await import_file(self._stub, source.open, import_id=import_id, metadata=metadata)
        except ImportFailed as failed:
            raise _problem(failed, import_id, mapped=source.mapping is not None) from failed
        return JSONResponse(_document(summary), HTTPStatus.ACCEPTED, {"location": _location(import_id)})


class _RawSource:
    """The body is the file."""

    def __init__(self, request: Request, mapping: Mapping | None) -> None:
        self._request = request
        self.mapping = mapping

    async def open(self) -> SourceFile:
        content_type = self._request.headers.get("content-type", "")
        return SourceFile(_body(self._request), self.mapping or Mapping(), content_type=content_type)


class _FormSource:
    """The file is a part of the body."""

    def __init__(self, request: Request, mapping: Mapping | None) -> None:
        self._form = Form(_body(request), boundary_of(request.headers["content-type"]))
        self.mapping = mapping

    async def open(self) -> SourceFile:
        part = await self._form.next_part()
        if part is not None and part.name == "mapping":
            await self._read_mapping()
            part = await self._form.next_part()
        if part is None or part.name != "file":
            found = f"the part {_shown(part.name)}" if part is not None else "its end"
            raise UploadEnded(HTTPStatus.BAD_REQUEST, f"where the part 'file' is expected, the body has {found}")
        ahead: deque[bytes] = deque()
        complete = await self._look_ahead(ahead) if self.mapping is None else False
        chunks = self._chunks(ahead, complete=complete)
        return SourceFile(chunks, self.mapping or Mapping(), part.file_name, part.content_type)

    async def _look_ahead(self, ahead: deque[bytes]) -> bool:
        """Reads the beginning of the file, and a mapping behind it if it is short. Answers whether that was all."""
        size = 0
        while size < AHEAD_BYTES_MAX:
            data = await self._form.data()
            if data is None:
                await self._read_rest(mapping_allowed=True)
                return True
            ahead.append(data)
            size += len(data)
        return False

    async def _chunks(self, ahead: deque[bytes], *, complete: bool) -> AsyncIterator[bytes]:
        while ahead:
            yield ahead.popleft()
        while not complete:
            data = await self._form.data()
            if data is None:
                await self._read_rest(mapping_allowed=False)
                return
            yield data

    async def _read_rest(self, *, mapping_allowed: bool) -> None:
        part = await self._form.next_part()
        if part is not None and part.name == "mapping" and mapping_allowed:
            await self._read_mapping()
            part = await self._form.next_part()
        if part is not None:
            raise UploadEnded(HTTPStatus.BAD_REQUEST, _misplaced(part))

    async def _read_mapping(self) -> None:
        if self.mapping is not None:
            raise MappingRefused("the mapping is given twice")
        document = b""
        while (data := await self._form.data()) is not None:
            document += data
            if len(document) > MAPPING_BYTES_MAX:
                raise MappingRefused(f"the mapping is larger than {MAPPING_BYTES_MAX} bytes")
        self.mapping = parse_mapping(document)


def _misplaced(part: Part) -> str:
    if part.name == "mapping":
        return (
            "the part 'mapping' must come before 'file', or the file have less than "
            f"{AHEAD_BYTES_MAX >> 20} MiB: the rows of this one were taken without it"
        )
    return f"behind the file the body has the part {_shown(part.name)}; send one file, and a mapping before it"


def _parameters(request: Request) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        known = PARAMETERS.get(name)
        if known is None or known in found:
            mistake = "is not known" if known is None else "is given twice"
            raise Problem(HTTPStatus.BAD_REQUEST, f"the query parameter {_shown(name)} {mistake}")
        found[known] = value
    if "importId" in found and not IMPORT_ID_PATTERN.fullmatch(found["importId"]):
        raise Problem(HTTPStatus.BAD_REQUEST, "importId must be 1 to 64 letters, digits, dashes and underscores")
    return found


def _given_mapping(parameters: dict[str, str]) -> Mapping | None:
    try:
        return parse_mapping(parameters["mapping"]) if "mapping" in parameters else None
    except MappingRefused as refused:
        raise Problem(HTTPStatus.BAD_REQUEST, refused.reason) from None


def _source(request: Request, mapping: Mapping | None) -> _RawSource | _FormSource:
    """Where the file is in a request. Raises Problem for what can be told from the headers alone."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > UPLOAD_BYTES_MAX:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(), headers={"connection": "close"})
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").lower()
    if content_type == MULTIPART and encoding == "identity":
        return _FormSource(request, mapping)
    if encoding not in ("identity", "gzip") or content_type == MULTIPART:
        detail = f"content-encoding {_shown(encoding)} is not taken here; a file may be gzip as it is"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
    if content_type not in RAW_TYPES:
        shown = _shown(content_type) if content_type else "none"
        detail = f"the content-type is {shown}; it must be {MULTIPART} or one of {', '.join(RAW_TYPES)}"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
    return _RawSource(request, mapping)


async def _body(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes in, within its bounds."""
    chunks = request.stream()
    size = 0
    while True:
        try:
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except ClientDisconnect:
            reason = "the connection was closed before the end of the file"
            raise UploadEnded(HTTPStatus.BAD_REQUEST, reason) from None
        except TimeoutError:
            reason = f"nothing more came for {IDLE_TIMEOUT_S:.0f} s"
            raise UploadEnded(HTTPStatus.REQUEST_TIMEOUT, reason) from None
        size += len(chunk)
        if size > UPLOAD_BYTES_MAX:
            raise UploadEnded(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large())
        yield chunk


def _too_large() -> str:
    return f"the upload is larger than {UPLOAD_BYTES_MAX} bytes; send it as several files"


def _problem(failed: ImportFailed, import_id: str, *, mapped: bool) -> Problem:
    cause = failed.__cause__
    if isinstance(cause, aio.AioRpcError):
        return of_call(cause)
    assert isinstance(cause, IntakeError), "nothing else makes an import fail"
    status = cause.status if isinstance(cause, UploadEnded) else HTTPStatus.BAD_REQUEST
    hint = " (a mapping must come before the file)" if isinstance(cause, FileRefused) and not mapped else ""
    return Problem(status, failed.reason + hint, headers={"location": _location(import_id)})


def _location(import_id: str) -> str:
    return f"/v1/imports/{import_id}"


def _shown(text: str) -> str:
    return f"'{printable(text, SHOWN_CHARACTERS_MAX)}'"


def _document(summary: ImportSummary) -> dict[str, Any]:
    return {
        "importId": summary.import_id,
        "rowsRead": summary.rows_read,
        "accepted": summary.accepted,
        "duplicates": summary.duplicates,
        "rejected": summary.rejected,
        "consistencyToken": summary.consistency_token,
    }


_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "format": "int64"}
_MAPPING = (
    'How a foreign file is to be read, as JSON: `{"columns": {"lead_id": "user_id"}, "types": {"Order Completed": '
    '"purchase"}, "timezone": "UTC", "properties": "rest" | "none" | ["email"], "format": "csv", "delimiter": ";"}`. '
    'All keys are optional. `columns` names the column of a field ("" for none), `types` translates types, `timezone` is '
    "for times without an offset, `properties` says which other columns become properties of the event."
)

UPLOAD_PATHS: dict[str, Any] = {
    "/v1/events:upload": {
        "post": {
            "operationId": "UploadEvents",
            "tags": ["IngestService"],
            "summary": "Imports a file of events",
            "description": (
                "CSV with a header, a JSON array of objects, or NDJSON; each may be gzip. The file is imported while it "
                "comes in; the answer comes when every good row is on the stream. `GET /v1/imports/{importId}` says what "
                "became of them, `GET /v1/imports/{importId}/errors` why rows were refused. May be repeated at any time: "
                "rows without an id get one from what they say. At most 1 GiB."
            ),
            "parameters": [
                {
                    "name": "importId",
                    "in": "query",
                    "description": "A name for the import. Default: one is made.",
                    "schema": {"type": "string", "pattern": f"^{IMPORT_ID_PATTERN.pattern}$"},
                },
                {"name": "mapping", "in": "query", "description": _MAPPING, "schema": _TEXT},
            ],
            "requestBody": {
                "required": True,
                "content": {
                    MULTIPART: {
                        "schema": {
                            "type": "object",
                            "properties": {
                                "mapping": {**_TEXT, "description": f"{_MAPPING} To come before the file."},
                                "file": {**_TEXT, "format": "binary"},
                            },
                            "required": ["file"],
                        }
                    },
                    **{each: {"schema": _TEXT} for each in ("text/csv", "application/json", "application/x-ndjson")},
                },
            },
            "responses": {
                "202": {
                    "description": "Every good row is on the stream.",
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {
                                    "importId": _TEXT,
                                    **dict.fromkeys(("rowsRead", "accepted", "duplicates", "rejected"), _COUNT),
                                    "consistencyToken": _TEXT,
                                },
                            }
                        }
                    },
                },
                **{
                    status: {"$ref": "#/components/responses/Problem"}
                    for status in ("400", "401", "403", "408", "413", "415", "429", "503", "504")
                },
            },
        }
    }
}
"""What the OpenAPI document says of uploads."""
