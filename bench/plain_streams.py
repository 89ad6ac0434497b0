"""What watchers are held against: plain server streams of grpc.aio, fed from memory, in a process of their own.

No stream to read, no filters but one look into a dictionary, no bounds, no resuming: what the library itself carries.
The messages are the same bytes, at the same pace.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc import aio
from leadscore.query.v1 import query_service_pb2 as query

from bench.changes import TICK_S, ticks
from services.query.announcements import message_to_watcher
from services.query.places import Place
from services.query.service import SERVICE_NAME
from services.shared.server import OPTIONS

PLACE = Place(1_763_000_000_000_000, 1)
"""Its token is as long as a real one."""


class PlainStreams:
    """The server, and what feeds it."""

    def __init__(self) -> None:
        self._followers: defaultdict[str, list[asyncio.Queue[bytes]]] = defaultdict(list)
        self._server = aio.server(options=OPTIONS)

    async def start(self) -> str:
        """Starts the server. Answers its address."""
        watch: Any = grpc.unary_stream_rpc_method_handler(self._watch, query.WatchScoresRequest.FromString)
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(SERVICE_NAME, {"WatchScores": watch})]
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return f"127.0.0.1:{port}"

    async def feed(self, messages_per_s: int, seconds: float) -> int:
        """Feeds all streams at a pace. Answers how many messages that were."""
        loop = asyncio.get_running_loop()
        started, fed = loop.time(), 0
        for number, updates in enumerate(ticks(messages_per_s, seconds), 1):
            for update in updates:
                message = message_to_watcher(PLACE, update)
                for queue in self._followers.get(update.lead_id, ()):
                    queue.put_nowait(message)
                    fed += 1
            await asyncio.sleep(max(0.0, started + number * TICK_S - loop.time()))
        return fed

    async def _watch(self, request: query.WatchScoresRequest, context: Any) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        for lead_id in request.lead_ids:
            self._followers[lead_id].append(queue)
        yield message_to_watcher(PLACE)
        while True:
            yield await queue.get()
