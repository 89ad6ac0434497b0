"""Whether the gateway lives, and whether what stands behind it is ready."""

import asyncio
from http import HTTPStatus
from typing import Any

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.channels import Channels
from gateway.routes import SERVICES

TIMEOUT_S = 2.0
"""Whoever asks wants to know about now."""


class Readiness:
    """Answers `/healthz` and `/readyz`."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    async def healthz(self, request: Request) -> Response:
        """200 while the process lives."""
        return JSONResponse({"status": "alive"})

    async def readyz(self, request: Request) -> Response:
        """200 when every service is ready; else 503, with what each says."""
        states = dict(zip(SERVICES, await asyncio.gather(*map(self._state, SERVICES)), strict=True))
        ready = all(state == "SERVING" for state in states.values())
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"ready": ready, "services": states}, status)

    async def _state(self, name: str) -> str:
        stub: Any = health_pb2_grpc.HealthStub(self._channels[name])
        request = health_pb2.HealthCheckRequest(service=SERVICES[name].full_name)
        try:
            answer = await stub.Check(request, timeout=TIMEOUT_S)
        except aio.AioRpcError as error:
            return str(error.code().name)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
