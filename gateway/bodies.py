"""Bodies of requests: bounded before they are read, and only what the contract takes."""

import asyncio
import zlib
from collections.abc import Collection
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from gateway.problems import Problem

BODY_BYTES_MAX = 8 * 1024 * 1024
"""Twice the largest request of the contract: its field names are longer as JSON."""
BODY_TIMEOUT_S = 60.0
"""For all of a body; whoever is slower has a line on which a file is better uploaded."""


async def read_body(request: Request, *, bytes_max: int = BODY_BYTES_MAX, also: Collection[str] = ()) -> bytes:
    """The body of a JSON request; no body at all is an empty object. Raises Problem if it is larger than `bytes_max`,
    not as its headers say, or of another type than JSON, unless that is among `also` (where "" is for none).
    """
    if _is_empty(request):
        return b"{}"
    _check_type(request, also)
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"content-encoding {encoding[:32]!r} is not taken; gzip is")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise _too_large(bytes_max)
    except TimeoutError:
        detail = f"the body did not come within {BODY_TIMEOUT_S:.0f} s"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, detail, headers={"connection": "close"}) from None
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, "the body ended before it was whole") from None
    return _inflate(bytes(body), bytes_max) if encoding == "gzip" else bytes(body)


def _is_empty(request: Request) -> bool:
    """Whether a request came without any body, as for a call that needs nothing said."""
    headers = request.headers
    return (
        "content-type" not in headers
        and headers.get("content-length", "0") == "0"
        and "transfer-encoding" not in headers
    )


def _check_type(request: Request, also: Collection[str]) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json") and media_type not in also:
        shown = repr(media_type[:64]) if media_type else "none"
        detail = f"the body must be application/json; its content-type is {shown}"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)


def _inflate(body: bytes, bytes_max: int) -> bytes:
    inflating = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        inflated = inflating.decompress(body, bytes_max + 1)
    except zlib.error:
        raise Problem(HTTPStatus.BAD_REQUEST, "the body is not gzip, as its content-encoding says") from None
    if len(inflated) > bytes_max:
        raise _too_large(bytes_max)
    if not inflating.eof or inflating.unused_data:
        raise Problem(HTTPStatus.BAD_REQUEST, "the gzip body ends early, or has something behind its end")
    return inflated


def _too_large(bytes_max: int) -> Problem:
    detail = f"the body is larger than {bytes_max} bytes; send several, or upload a file"
    # The connection stays open, and what still comes is passed over: a client cut off while it sends sees no answer.
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
