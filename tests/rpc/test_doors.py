"""Every service can be asked for its health and for its contract."""

from typing import Any

import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.ingest.service import SERVICE_NAME as INGEST
from services.query.service import SERVICE_NAME as QUERY
from services.scorer.service import SERVICE_NAME as SCORER
from services.shared.settings import Settings
from tests.parts import Suite

NAMES = {"ingest": INGEST, "scorer": SCORER, "query": QUERY}


@pytest.mark.parametrize("name", NAMES)
async def test_a_service_says_that_it_is_ready_and_what_it_can_do(settings: Settings, name: str) -> None:
    async with Suite(settings) as suite:
        await suite.start(name)
        channel = suite.running[name].channel
        assert channel is not None
        await until_serving(channel, NAMES[name])
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]  # An aio one will do.
        questions = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        answer = await stub.ServerReflectionInfo(questions).read()
        assert NAMES[name] in [each.name for each in answer.list_services_response.service]


async def until_serving(channel: aio.Channel, name: str) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    async for answer in stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=30):
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return
