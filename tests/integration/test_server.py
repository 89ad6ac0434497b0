"""The door of every service: what it does with handlers that are slow or broken."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from grpc import aio
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.query.v1 import query_service_pb2_grpc

from embedded.ports import ReservedPort
from services.shared import server
from services.shared.errors import SettingError
from services.shared.settings import Settings

NAME = "leadscore.query.v1.QueryService"
LOOPBACK = "127.0.0.1"


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


async def serve_on(stack: AsyncExitStack, port: int, own_port: int) -> int:
    bound, _ = await server.serve(
        stack,
        Settings(anonymous=True, own_port=own_port),
        service_name=NAME,
        add=lambda added: query_service_pb2_grpc.add_QueryServiceServicer_to_server(Broken(), added),  # type: ignore[abstract]
        port=port,
    )
    return bound


async def test_a_port_is_shared_by_those_that_mean_to_and_by_nobody_else() -> None:
    async with AsyncExitStack() as stack:
        own = [ReservedPort(LOOPBACK, 0) for _ in range(2)]
        for each in own:
            stack.callback(each.release)
        port = await serve_on(stack, 0, own[0].number)
        assert await serve_on(stack, port, own[1].number) == port
        with pytest.raises(SettingError, match=rf"port {port} on 127.0.0.1 is taken"):
            await serve_on(stack, port, 0)
        for each in own:
            channel = await stack.enter_async_context(aio.insecure_channel(f"{LOOPBACK}:{each.number}"))
            with pytest.raises(aio.AioRpcError) as caught:
                await query_service_pb2_grpc.QueryServiceStub(channel).GetLead(query.GetLeadRequest(), timeout=20)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    async with AsyncExitStack() as stack:
        port = await serve_on(stack, 0, 0)
        with pytest.raises(SettingError, match="is taken"):
            await serve_on(stack, port, 0)
