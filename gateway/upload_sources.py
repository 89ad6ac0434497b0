"""Where the file of an upload comes from: the body itself, or a part of it. Bounded, and read only as it is used."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from gateway.multipart import MULTIPART, Form, Part, boundary_of
from gateway.problems import Problem
from intake.errors import MappingRefused, ReadingEnded
from intake.formats import CONTENT_TYPES
from intake.importing import SourceFile
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
RAW_TYPES = (*CONTENT_TYPES, "application/gzip", "application/x-gzip", "application/octet-stream")


class UploadEnded(ReadingEnded):
    """The body ends the import, with a status that says what kind of mistake it is."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class RawSource:
    """The body is the file."""

    advice = ""

    def __init__(self, request: Request, mapping: Mapping | None) -> None:
        self._request = request
        self._mapping = mapping

    async def open(self) -> SourceFile:
        """The file."""
        content_type = self._request.headers.get("content-type", "")
        return SourceFile(_body(self._request), self._mapping or Mapping(), content_type=content_type)


class FormSource:
    """The file is a part of the body."""

    advice = ""
    """What else to say if the file cannot be read."""

    def __init__(self, request: Request, mapping: Mapping | None) -> None:
        self._form = Form(_body(request), boundary_of(request.headers["content-type"]))
        self._mapping = mapping

    async def open(self) -> SourceFile:
        """The file, when everything before it is read. Raises an IntakeError for what should not be there."""
        part = await self._form.next_part()
        if part is not None and part.name == "mapping":
            await self._read_mapping()
            part = await self._form.next_part()
        if part is None or part.name != "file":
            found = f"the part {shown(part.name)}" if part is not None else "its end"
            raise UploadEnded(HTTPStatus.BAD_REQUEST, f"where the part 'file' is expected, the body has {found}")
        ahead: deque[bytes] = deque()
        complete = await self._look_ahead(ahead) if self._mapping is None else False
        chunks = self._chunks(ahead, complete=complete)
        return SourceFile(chunks, self._mapping or Mapping(), part.file_name, part.content_type)

    async def _look_ahead(self, ahead: deque[bytes]) -> bool:
        """Reads the beginning of the file, and a mapping behind it if it is short. Answers whether that was all. Of a
        body that is cut off meanwhile nothing is imported, because its mapping may have been to come.
        """
        size = 0
        while size < AHEAD_BYTES_MAX:
            data = await self._form.data()
            if data is None:
                await self._read_rest(mapping_allowed=True)
                return True
            ahead.append(data)
            size += len(data)
        self.advice = "; if there is a mapping, it must come before a file as large as this one"
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
        if self._mapping is not None:
            raise MappingRefused("the mapping is given twice")
        document = b""
        while (data := await self._form.data()) is not None:
            document += data
            if len(document) > MAPPING_BYTES_MAX:
                raise MappingRefused(f"the mapping is larger than {MAPPING_BYTES_MAX} bytes")
        self._mapping = parse_mapping(document)


def _misplaced(part: Part) -> str:
    if part.name == "mapping":
        return (
            "the part 'mapping' must come before 'file', or the file have less than "
            f"{AHEAD_BYTES_MAX >> 20} MiB: the rows of this one were taken without it"
        )
    return f"behind the file the body has the part {shown(part.name)}; send one file, and a mapping before it"


def source_of(request: Request, mapping: Mapping | None) -> RawSource | FormSource:
    """Where the file is in a request. Raises Problem for what can be told from the headers alone."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > UPLOAD_BYTES_MAX:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(), headers={"connection": "close"})
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").lower()
    if content_type == MULTIPART and encoding == "identity":
        return FormSource(request, mapping)
    if encoding not in ("identity", "gzip") or content_type == MULTIPART:
        detail = f"content-encoding {shown(encoding)} is not taken here; a file may be gzip as it is"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
    if content_type not in RAW_TYPES:
        detail = f"the content-type is {shown(content_type)}; it must be {MULTIPART} or one of {', '.join(RAW_TYPES)}"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
    return RawSource(request, mapping)


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


def shown(text: str) -> str:
    """A word of the caller's as messages show it."""
    return f"'{printable(text, SHOWN_CHARACTERS_MAX)}'"
