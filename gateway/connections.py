"""HTTP connections with the limits that uvicorn leaves open: how large the head of a request may be, and how late.

What is not HTTP is answered as a problem, like everything else.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.problems import Problem

HEAD_BYTES_MAX = 32 * 1024
"""Of a request line and headers: a thousand short lead ids as a filter, a key and what browsers add."""
HEAD_TIMEOUT_S = 20.0
"""For a head to be whole; a line on which nothing is asked is closed after it."""


class BoundedConnection(HttpToolsProtocol):
    """A connection whose requests begin within bounds."""

    _heads = 0
    _head_bytes = 0
    _head_open = True
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Waits for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops waiting."""
        self._head_is_whole()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes what came, and refuses a head that grows without an end."""
        was_open, heads = self._head_open, self._heads
        super().data_received(data)
        if was_open and self._head_open and heads == self._heads and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the path and the headers are too large")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._heads += 1
        self._head_is_whole()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Its body is whole; what comes next is another request's head."""
        super().on_message_complete()
        self._head_open, self._head_bytes = True, 0

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, "this is not a request as HTTP has it; a path is percent-encoded ASCII")

    def _wait_for_head(self) -> None:
        self._head_is_whole()
        self._head_open = True
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _head_is_whole(self) -> None:
        self._head_open, self._head_bytes = False, 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        response = Problem(status, detail, headers={"connection": "close"}).response
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
        lines += [name + b": " + value for name, value in response.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(response.body)]))
        self.transport.close()
