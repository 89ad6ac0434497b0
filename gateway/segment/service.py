"""`POST /v1/track` and its like: from a request of an SDK to ingest, and back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any

from grpc import aio
from leadscore.ingest.v1 import ingest_service_pb2 as contract
from leadscore.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from gateway.bodies import read_body
from gateway.channels import CALL_DEADLINE_S, Metadata
from gateway.guard import Guard
from gateway.problems import Problem, of_call, of_request
from gateway.segment.answers import Results, answer, refused_by_ingest
from gateway.segment.calls import BATCH_BYTES_MAX, read_batch, read_call
from gateway.segment.facts import KINDS, CallReader, Facts, Source
from gateway.segment.keys import authorization_of
from gateway.segment.mapping import SegmentMapping
from gateway.segment.origins import Origins
from gateway.transcoding import QUICK_BYTES_MAX
from services.shared.clock import Clock
from services.shared.credentials import AUTHORIZATION, TENANT
from services.shared.errors import InvalidRequest

BATCH = "batch"
_NAMED = (*KINDS, BATCH)
PATHS = {**{kind: kind for kind in _NAMED}, **{kind[0]: kind for kind in _NAMED}, "import": BATCH, "import/": BATCH}
"""What is behind `/v1/`: browsers shorten the names, and some older SDKs call a batch an import."""
ALSO_TAKEN = ("text/plain", "")
"""Types of bodies beside JSON: what a browser lets any page send without asking first."""

logger = logging.getLogger(__name__)


class SegmentIntake:
    """Answers calls."""

    def __init__(
        self, channel: aio.Channel, guard: Guard, origins: Origins, mapping: SegmentMapping, clock: Clock
    ) -> None:
        self._stub = IngestServiceStub(channel)
        self._guard = guard
        self._origins = origins
        self._mapping = mapping
        self._clock = clock

    @property
    def routes(self) -> list[Path]:
        """The paths of all calls."""
        return [Path(f"/v1/{path}", self._endpoint(kind), methods=["POST", "OPTIONS"]) for path, kind in PATHS.items()]

    def _endpoint(self, kind: str) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            allowed: dict[str, str] = {}
            try:
                if request.method == "OPTIONS":
                    return self._origins.preflight(request)
                allowed = self._origins.headers(request)
                response = await self._respond(request, kind)
            except Problem as problem:
                response = problem.response
            except InvalidRequest as error:
                response = of_request(error).response
            response.headers.update(allowed)
            return response

        return respond

    async def _respond(self, request: Request, kind: str) -> Response:
        body = await read_body(request, bytes_max=BATCH_BYTES_MAX, also=ALSO_TAKEN)
        read = self._read_batch if kind == BATCH else self._read_call
        if len(body) > QUICK_BYTES_MAX:
            write_key, calls, facts = await asyncio.to_thread(read, body, kind)
        else:
            write_key, calls, facts = read(body, kind)
        metadata = self._metadata(request, write_key)
        answers = await self._publish(facts, metadata)
        if facts.refused:
            logger.info("%d of %d calls were refused", len(facts.refused), calls)
        return answer(answers, calls, facts.refused, kind == BATCH)

    def _read_call(self, body: bytes, kind: str) -> tuple[str | None, int, Facts]:
        call = read_call(body)
        return call.write_key, 1, CallReader(self._mapping, self._clock.now_us()).take(0, call, kind)

    def _read_batch(self, body: bytes, kind: str) -> tuple[str | None, int, Facts]:
        batch, context = read_batch(body)
        facts = CallReader(self._mapping, self._clock.now_us()).read_batch(batch.batch, batch.sent_at, context)
        return batch.write_key, len(batch.batch), facts

    def _metadata(self, request: Request, write_key: str | None) -> Metadata:
        key = authorization_of(request.headers.get(AUTHORIZATION), write_key)
        return self._guard.metadata_of(request, {AUTHORIZATION: key, TENANT: request.headers.get(TENANT)})

    async def _publish(self, facts: Facts, metadata: Metadata) -> list[Results]:
        """Sends events and changes at the same time, and adds what ingest refuses of them."""
        sending: list[Coroutine[Any, Any, Results]] = []
        if facts.events:
            events = contract.PublishEventsRequest(events=facts.events)
            call: Any = self._stub.PublishEvents(events, timeout=CALL_DEADLINE_S, metadata=metadata)
            sending.append(_answered(call, facts, facts.event_sources))
        if facts.changes:
            changes = contract.UpsertLeadsRequest(leads=facts.changes)
            call = self._stub.UpsertLeads(changes, timeout=CALL_DEADLINE_S, metadata=metadata)
            sending.append(_answered(call, facts, facts.change_sources))
        return list(await asyncio.gather(*sending))


async def _answered(call: Awaitable[Results], facts: Facts, sources: list[Source]) -> Results:
    try:
        results = await call
    except aio.AioRpcError as error:
        problem = of_call(error)
        if problem.status is HTTPStatus.TOO_MANY_REQUESTS:
            # Segment's own name for it, which some SDKs know instead.
            problem.headers["x-ratelimit-reset"] = problem.headers["retry-after"]
        raise problem from error
    facts.refused += refused_by_ingest(sources, results)
    return results
