"""A question over HTTP whose only answer of interest is the status."""

import asyncio

ANSWER_BYTES_MAX = 64 * 1024


async def http_status(host: str, port: int, path: str, timeout_s: float) -> int | None:
    """The status of `GET path`, or None if no HTTP answer came within `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port, limit=ANSWER_BYTES_MAX)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                protocol, status, *_ = (await reader.readline()).split()
                return int(status) if protocol.startswith(b"HTTP/") else None
            finally:
                writer.close()
    except (OSError, ValueError, TimeoutError):
        return None
