"""The door of every service: what it does with handlers that are slow or broken."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from grpc import aio
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.query.v1 import query_service_pb2_grpc

from services.shared import server
from services.shared.settings import Settings

NAME = "leadscore.query.v1.QueryService"


class Broken(query_service_pb2_grpc.QueryServiceServicer):
    """One RPC hangs, another has a mistake in it."""

    async def GetLead(self, request: query.GetLeadRequest, context: Any) -> query.Lead:
        await asyncio.Event().wait()
        return query.Lead()

    async def GetRank(self, request: query.GetRankRequest, context: Any) -> query.GetRankResponse:
        raise KeyError("a secret of ours")


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("GetLead", query.GetLeadRequest(lead_id="ada"), grpc.StatusCode.DEADLINE_EXCEEDED),
        ("GetRank", query.GetRankRequest(lead_id="ada"), grpc.StatusCode.INTERNAL),
        ("GetLead", query.GetLeadRequest(), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_a_handler_that_hangs_or_fails_is_answered_for_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch, method: str, request_: Any, code: grpc.StatusCode
) -> None:
    monkeypatch.setattr(server, "CALL_DEADLINE_S", 0.1)
    broken = Broken()  # type: ignore[abstract]  # Its other RPCs are not called.
    async with AsyncExitStack() as stack:
        port, _ = await server.serve(
            stack,
            Settings(anonymous=True),
            service_name=NAME,
            add=lambda added: query_service_pb2_grpc.add_QueryServiceServicer_to_server(broken, added),
            port=0,
        )
        channel = await stack.enter_async_context(aio.insecure_channel(f"127.0.0.1:{port}"))
        with pytest.raises(aio.AioRpcError) as caught:
            await getattr(query_service_pb2_grpc.QueryServiceStub(channel), method)(request_, timeout=20)
    assert caught.value.code() == code
    assert "secret" not in (caught.value.details() or "")
