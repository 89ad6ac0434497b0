"""Segment's calls on real servers: what an SDK sends is scored, and what it sends again counts once."""

from __future__ import annotations

import base64
import json
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import httpx
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from gateway.__main__ import start
from services.shared.credentials import hash_key
from services.shared.lifecycle import Process
from services.shared.settings import Settings
from tests.parts import Suite

KEY = "lsk_of-a-shop"
HEADERS = {"authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode(), "content-type": "text/plain"}


def written(at_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))


async def test_what_an_sdk_sends_is_scored_and_what_it_sends_again_counts_once(settings: Settings) -> None:
    settings = replace(settings, anonymous=False, admin_key_sha256=hash_key(KEY))
    metadata = (("authorization", f"Bearer {KEY}"),)
    fast_s = time.time() + 7_200
    happened = written(fast_s - 600)
    calls = [
        {"type": "identify", "messageId": "m-1", "userId": "ada", "traits": {"company": {"employee_count": 600}}},
        {"type": "track", "messageId": "m-2", "userId": "ada", "event": "Demo Request", "timestamp": happened},
        {"type": "page", "messageId": "m-3", "userId": "ada", "timestamp": happened},
        {"type": "alias", "messageId": "m-4", "userId": "ada", "previousId": "anon-1", "timestamp": happened},
    ]

    def body(sent_s: float) -> bytes:
        return json.dumps({"batch": calls, "sentAt": written(sent_s), "writeKey": KEY}).encode()

    async with Suite(settings) as suite, AsyncExitStack() as stack:
        await suite.start("ingest", "scorer", "query")
        places: dict[str, Any] = {
            f"{name}_address": f"127.0.0.1:{running.process.port}" for name, running in suite.running.items()
        }
        process = Process()
        await start(replace(settings, **places), stack, process)
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{process.port}"))
        for sent_s in (fast_s, fast_s + 1):
            answer = await client.post("/v1/batch", content=body(sent_s), headers=HEADERS)
            assert answer.json() == {"success": True}, answer.text
            token = answer.headers["x-consistency-token"]
            request = query.GetLeadRequest(lead_id="ada", consistency_token=token)
            lead = await suite.query.GetLead(request, metadata=metadata)
            assert (lead.engagement, lead.fit) == (55, 30)
        assert abs(lead.last_event_at.seconds - (time.time() - 600)) < 90, "the sender's clock is two hours fast"
        history = await suite.query.ListEvents(query.ListEventsRequest(lead_id="ada"), metadata=metadata)
        assert sorted(each.type for each in history.events) == ["alias", "demo_request", "page_view"]
        apart = await suite.scorer.ListQuarantine(scorer.ListQuarantineRequest(), metadata=metadata)
        assert not apart.items
        in_body = await client.post("/v1/batch", content=body(fast_s))
        assert in_body.status_code == 200, "the key may be in the body"
        stranger = {**HEADERS, "authorization": "Basic " + base64.b64encode(b"guess:").decode()}
        assert (await client.post("/v1/batch", content=body(fast_s), headers=stranger)).status_code == 401
