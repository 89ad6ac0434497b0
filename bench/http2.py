"""Calls of gRPC over one connection, by hand: just enough of HTTP/2 to send one message and to take answers apart.

A client library takes longer for a message than the servers whose pace is measured.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import cast

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW_SIZE = 4
FRAME_HEAD_BYTES = 9
MESSAGE_HEAD_BYTES = 5
WINDOW_BYTES_MAX = 2**31 - 1
FIRST_WINDOW_BYTES = 65_535
"""What a connection's window is before it is widened."""
WINDOW_REFILL_BYTES = 1 << 28

Heard = Callable[[int, bytes], None]
Ended = Callable[[], None]


class Streams(asyncio.Protocol):
    """One connection and its calls. `heard` gets each message with the number of its call, from 0."""

    def __init__(self, method: str, window_bytes: int, heard: Heard, ended: Ended) -> None:
        """`window_bytes` is how much each stream may send; it is never given again, so that a stream gets stuck."""
        self._head = _header_block(method)
        self._window_bytes = window_bytes
        self._heard = heard
        self._ended = ended
        self._calls = 0
        self._rest = b""
        self._parts: dict[int, bytes] = {}
        self._received_bytes = 0
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Says hello."""
        self._transport = cast(asyncio.WriteTransport, transport)
        settings = _frame(SETTINGS, 0, 0, struct.pack("!HI", INITIAL_WINDOW_SIZE, self._window_bytes))
        wider = _frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", WINDOW_BYTES_MAX - FIRST_WINDOW_BYTES))
        self._transport.write(PREFACE + settings + wider)

    def call(self, request: bytes) -> int:
        """Begins one more call. Answers its number."""
        number = self._calls
        stream = 2 * number + 1
        self._calls += 1
        message = struct.pack("!BI", 0, len(request)) + request
        self._transport.write(
            _frame(HEADERS, END_HEADERS, stream, self._head) + _frame(DATA, END_STREAM, stream, message)
        )
        return number

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Takes frames apart."""
        data = self._rest + data
        at = 0
        while at + FRAME_HEAD_BYTES <= len(data):
            begin = at + FRAME_HEAD_BYTES
            end = begin + (data[at] << 16 | data[at + 1] << 8 | data[at + 2])
            if end > len(data):
                break
            stream = int.from_bytes(data[at + 5 : begin], "big")
            if data[at + 3] == DATA:
                self._take_apart(stream, data[begin:end])
            else:
                self._control(data[at + 3], data[at + 4], data[begin:end])
            at = end
        self._rest = data[at:]
        self._refill(at)

    def connection_lost(self, error: Exception | None) -> None:
        """Counts as an end."""
        self._ended()

    def _take_apart(self, stream: int, data: bytes) -> None:
        data = self._parts.pop(stream, b"") + data
        at = 0
        while at + MESSAGE_HEAD_BYTES <= len(data):
            begin = at + MESSAGE_HEAD_BYTES
            end = begin + int.from_bytes(data[at + 1 : begin], "big")
            if end > len(data):
                break
            self._heard(stream // 2, data[begin:end])
            at = end
        if at < len(data):
            self._parts[stream] = data[at:]

    def _control(self, kind: int, flags: int, payload: bytes) -> None:
        if kind in (SETTINGS, PING) and not flags & ACK:
            self._transport.write(_frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind in (RST_STREAM, GOAWAY) or (kind == HEADERS and flags & END_STREAM):
            self._ended()

    def _refill(self, received_bytes: int) -> None:
        self._received_bytes += received_bytes
        if self._received_bytes > WINDOW_REFILL_BYTES:
            self._transport.write(_frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", WINDOW_REFILL_BYTES)))
            self._received_bytes -= WINDOW_REFILL_BYTES


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _header_block(method: str) -> bytes:
    """The headers of a call, none of them packed."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "bench",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in headers.items())


def _text(text: str) -> bytes:
    assert len(text) < 127, "longer ones have a longer length"
    return bytes((len(text),)) + text.encode()
