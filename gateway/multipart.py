"""Bodies of multipart/form-data, read part by part as they come in. Nothing is stored on the way."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.problems import Problem
from intake.errors import ReadingEnded

MULTIPART = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Part:
    """What a part says of itself."""

    name: str
    file_name: str
    content_type: str


def boundary_of(content_type: str) -> bytes:
    """What stands between the parts. Raises Problem if the header does not say."""
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise Problem(HTTPStatus.BAD_REQUEST, "the content-type names no boundary between the parts")
    return boundary


class Form:
    """The parts of a body, one after the other. Raises ReadingEnded for a body that is not one, or is cut off."""

    def __init__(self, chunks: AsyncIterator[bytes], boundary: bytes) -> None:
        self._chunks = chunks
        self._found: deque[Part | bytes | None] = deque()
        """Headers of parts, their data, and None for the end of a part."""
        self._headers: dict[bytes, bytes] = {}
        self._header_name = self._header_value = b""
        self._complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_to_name,
                    "on_header_value": self._add_to_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": lambda data, start, end: self._found.append(data[start:end]),
                    "on_part_end": lambda: self._found.append(None),
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"the content-type is wrong: {error}") from None

    async def next_part(self) -> Part | None:
        """The next part, passing over what is left of the one before; None behind the last."""
        while await self._fill():
            found = self._found.popleft()
            if isinstance(found, Part):
                return found
        return None

    async def data(self) -> bytes | None:
        """More of the part's data; None at its end."""
        return found if await self._fill() and isinstance(found := self._found.popleft(), bytes) else None

    async def _fill(self) -> bool:
        """Reads on until something is found; False if nothing more will be."""
        while not self._found and not self._complete:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                raise ReadingEnded("the multipart body is cut off")
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise ReadingEnded(f"the body is not multipart/form-data: {error}") from None
        return bool(self._found)

    def _begin_part(self) -> None:
        self._headers = {}

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._found.append(
            Part(
                _text(options.get(b"name", b"")),
                _text(options.get(b"filename", b"")),
                _text(self._headers.get(b"content-type", b"")),
            )
        )

    def _end(self) -> None:
        self._complete = True


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
