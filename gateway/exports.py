"""`GET /v1/exports/{kind}.{format}`: an export as a download, handed on as it comes.

What is wrong before the first byte is answered as a problem. What goes wrong after it breaks the connection: the body
has no end then, so nobody takes half a file for a whole one.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from grpc import aio
from leadscore.query.v1 import export_pb2 as contract
from leadscore.query.v1.query_service_pb2_grpc import QueryServiceStub
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.guard import Guard
from gateway.parameters import read_parameters
from gateway.problems import Problem, of_call, of_request
from gateway.sse import LAST_WORDS_S, SEND_TIMEOUT_S, SILENCE_MAX_S
from services.shared.errors import InvalidRequest

FIRST_ANSWER_S = 60.0
"""For the scorer to get to a consistency token, the rows to be counted, and the first of them to be written."""
GZIP_LEVEL = 4
"""Most of what gzip can do, at a third of the time."""
GZIP_WBITS = 31
"""What zlib calls a gzip file."""
PATH_VARIABLE = "file"
FROM_PATH = frozenset(("kind", "format"))


@dataclass(frozen=True)
class Form:
    """How a format is sent."""

    format: contract.ExportFormat.ValueType
    media_type: str
    may_be_zipped: bool
    """Whether gzip makes it smaller; the others are compressed as they are."""


KINDS = {
    "leads": contract.EXPORT_KIND_LEADS,
    "events": contract.EXPORT_KIND_EVENTS,
    "ledger": contract.EXPORT_KIND_LEDGER,
    "quarantine": contract.EXPORT_KIND_QUARANTINE,
}
FORMS = {
    "csv": Form(contract.EXPORT_FORMAT_CSV, "text/csv; charset=utf-8; header=present", True),
    "ndjson": Form(contract.EXPORT_FORMAT_NDJSON, "application/x-ndjson", True),
    "parquet": Form(contract.EXPORT_FORMAT_PARQUET, "application/vnd.apache.parquet", False),
}
FILES = {f"{kind}.{form}": (KINDS[kind], FORMS[form]) for kind in KINDS for form in FORMS} | {
    "report.pdf": (contract.EXPORT_KIND_REPORT, Form(contract.EXPORT_FORMAT_PDF, "application/pdf", False))
}
"""All exports by the end of their paths."""

logger = logging.getLogger(__name__)


class Exports:
    """Answers downloads."""

    def __init__(self, channel: aio.Channel, guard: Guard) -> None:
        self._stub = QueryServiceStub(channel)
        self._guard = guard

    async def export(self, request: Request) -> Response:
        """Begins a download; errors as problems."""
        try:
            return await self._open(request)
        except Problem as problem:
            return problem.response
        except InvalidRequest as error:
            return of_request(error).response

    async def _open(self, request: Request) -> Response:
        name = request.path_params[PATH_VARIABLE]
        if name not in FILES:
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such export; /docs lists what there is")
        if request.method != "GET":
            detail = f"{request.method} is not for this path; GET is"
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers={"allow": "GET"})
        metadata = self._guard.metadata(request)
        kind, form = FILES[name]
        message = contract.ExportRequest(kind=kind, format=form.format)
        read_parameters(request.scope.get("query_string", b""), message, FROM_PATH)
        call: Any = self._stub.Export(message, metadata=metadata)
        first = await _first_of(call)
        zipped = form.may_be_zipped and takes_gzip(request.headers.get("accept-encoding", ""))
        return Download(call, first, name, form, zipped=zipped)


async def _first_of(call: Any) -> Any:
    """The first answer. Raises Problem if the call fails instead."""
    try:
        async with asyncio.timeout(FIRST_ANSWER_S):
            return await call.read()
    except aio.AioRpcError as error:
        raise of_call(error, contract.ExportRequest.DESCRIPTOR) from error
    except TimeoutError:
        call.cancel()
        raise Problem(HTTPStatus.GATEWAY_TIMEOUT, "the export did not begin in time") from None
    except BaseException:
        call.cancel()
        raise


class Download(Response):
    """One export on its way: until it is whole, or fails, or its client goes."""

    def __init__(self, call: Any, first: Any, name: str, form: Form, *, zipped: bool) -> None:
        stem, _, ending = name.rpartition(".")
        file_name = f"{stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{ending}"
        headers = {"content-disposition": f'attachment; filename="{file_name}"', "x-accel-buffering": "no"}
        if form.may_be_zipped:
            headers["vary"] = "accept-encoding"
        if zipped:
            headers["content-encoding"] = "gzip"
        super().__init__(headers=headers)
        self.headers["content-type"] = form.media_type
        del self.headers["content-length"]
        self._name = name
        self._call = call
        self._first = first
        self._zip = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WBITS) if zipped else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the file. Where it ends early the response is left without its end, and the server closes the line."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        passing, left = asyncio.create_task(self._pass_on(send)), asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((passing, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._call.cancel()
            for task in (passing, left):
                task.cancel()
            await asyncio.wait((passing, left), timeout=LAST_WORDS_S)
        if passing.done() and not passing.cancelled():
            passing.result()

    async def _pass_on(self, send: Send) -> None:
        message = self._first
        try:
            while message is not aio.EOF:
                await _send(send, await self._written(message.data), more=True)
                message = await asyncio.wait_for(self._call.read(), SILENCE_MAX_S)
        except aio.AioRpcError as error:
            logger.warning("%s ended early: %s: %s", self._name, error.code().name, error.details())
        except TimeoutError:
            logger.warning("%s ended early: nothing came, or nothing was taken, for too long", self._name)
        else:
            await _send(send, b"" if self._zip is None else self._zip.flush(), more=False)

    async def _written(self, data: bytes) -> bytes:
        if self._zip is None or not data:
            return data
        # In a thread: it takes milliseconds, in which other requests are answered.
        return await asyncio.to_thread(self._zip.compress, data)


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding header asks for gzip by name, and not for none of it."""
    for each in accepted.lower().split(","):
        name, _, weight = each.replace(" ", "").partition(";q=")
        if name == "gzip":
            return weight.strip("0.") != "" or not weight
    return False


async def _send(send: Send, body: bytes, *, more: bool) -> None:
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await send({"type": "http.response.body", "body": body, "more_body": more})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
