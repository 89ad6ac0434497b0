"""Waits until everything that was sent is committed and announced."""

from collections.abc import Iterable

from grpc import aio
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from bench.suite import Suite
from services.shared.tokens import decode_positions, encode_positions, merge_positions

TIMEOUT_S = 25.0


async def last_announced(suite: Suite, tokens: Iterable[str]) -> None:
    """Asks the scorer with a token that covers all of them, until it has got there."""
    token = encode_positions(merge_positions(map(decode_positions, tokens)))
    request = scorer.ListQuarantineRequest(page_size=1, consistency_token=token)
    async with aio.insecure_channel(suite.doors["scorer"]) as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        while True:
            try:
                await stub.ListQuarantine(request, timeout=TIMEOUT_S)
                return
            except aio.AioRpcError as error:
                if error.code().name != "DEADLINE_EXCEEDED":
                    raise
