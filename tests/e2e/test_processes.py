"""Several processes of each kind on one port: whichever answers, it is the same; and one that is killed is missed by
nobody.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from grpc import aio
from leadscore.event.v1.event_pb2 import Event
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.ingest.v1 import ingest_service_pb2_grpc
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.query.v1 import query_service_pb2_grpc

from tests.e2e.up import Up, refusal

KINDS = ("INGEST", "SCORER", "QUERY", "GATEWAY")
TWO = {f"LEADSCORE_{kind}_PROCESSES": "2" for kind in KINDS}
MODULES = ("services.ingest", "services.scorer", "services.query", "-m gateway")
BATCH = 50
LOAD_DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One suite for all tests: they leave it as it was."""
    up = Up(tmp_path_factory.mktemp("several") / "data", **TWO)
    try:
        yield up.ready()
    finally:
        up.close()


async def test_whichever_process_answers_the_answer_is_the_same(up: Up) -> None:
    assert [len(up.pids_of(module)) for module in MODULES] == [2, 2, 2, 2]
    gateways = [f"http://127.0.0.1:{port}" for port in own_ports(up, "-m gateway")]
    queries = [f"127.0.0.1:{port}" for port in own_ports(up, "services.query")]
    assert len(set(gateways)) == len(set(queries)) == 2
    rows = "lead_id,type\n" + "".join(f"lead-{number},page_view\n" for number in range(100))
    async with httpx.AsyncClient(timeout=30) as client:
        sent = await client.post(f"{gateways[0]}/v1/events:upload", files={"file": ("a.csv", rows)})
        import_id = sent.raise_for_status().json()["importId"]
        token = sent.json()["consistencyToken"]
        for gateway in gateways * 2:
            lead = await client.get(f"{gateway}/v1/leads/lead-7", params={"consistencyToken": token})
            assert lead.json()["score"] == 5
            async with asyncio.timeout(LOAD_DEADLINE_S):
                while (await client.get(f"{gateway}/v1/imports/{import_id}")).json()["state"] != "DONE":
                    pass
    resume = await watched(queries[0], "", 0)
    published = await publish(up.doors()["ingest"], [{"lead_id": f"late-{number}"} for number in range(3)])
    for address in queries * 2:
        resume_of_one = await watched(address, resume, 1)
        await watched(address, resume_of_one, 2)
        async with aio.insecure_channel(address) as channel:
            request = query.GetLeadRequest(lead_id="late-2", consistency_token=published)
            assert (await query_service_pb2_grpc.QueryServiceStub(channel).GetLead(request)).score == 5


async def test_one_process_of_each_kind_is_killed_under_load_and_nothing_is_lost(up: Up) -> None:
    address, enough = f"http://{up.doors()['gateway']}", asyncio.Event()
    loading = asyncio.create_task(load(address, enough))
    for name, module in zip(("ingest", "scorer", "query", "gateway"), MODULES, strict=True):
        os.kill(up.pids_of(module)[0], signal.SIGKILL)
        ended = await asyncio.to_thread(up.until, f"{name}-", "has ended (killed by SIGKILL)")
        await asyncio.to_thread(up.until, ended.split()[0], "runs again")
    enough.set()
    tokens = await loading
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        for number, token in enumerate(tokens):
            answer = await client.get(f"/v1/leads/loaded-{number}", params={"consistencyToken": token})
            assert answer.json()["score"] == 5 * BATCH, answer.text
    assert [len(up.pids_of(module)) for module in MODULES] == [2, 2, 2, 2]


async def test_a_process_that_hangs_is_the_one_that_is_replaced(up: Up) -> None:
    hanging, well = up.pids_of("services.query")
    os.kill(hanging, signal.SIGSTOP)
    line = await asyncio.to_thread(up.until, "query-", "does not answer")
    await asyncio.to_thread(up.until, line.split()[0], "runs again")
    found = up.pids_of("services.query")
    assert well in found
    assert hanging not in found
    assert len(found) == 2


def test_another_suite_does_not_come_to_share_a_port_by_accident(up: Up, tmp_path: Path) -> None:
    for kind in KINDS:
        port = up.doors()[kind.lower()].rpartition(":")[2]
        said = refusal(tmp_path / kind, **{**TWO, f"LEADSCORE_{kind}_PORT": port})
        taken = f"Error: port {port} on 127.0.0.1 is taken by another program; set LEADSCORE_{kind}_PORT to another"
        assert said == taken


def own_ports(up: Up, module: str) -> list[int]:
    """The ports by which single processes are reached, as their environment has them."""
    variables = [Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in up.pids_of(module)]
    return [
        int(each.partition(b"=")[2])
        for of_one in variables
        for each in of_one
        if each.startswith(b"LEADSCORE_OWN_PORT=")
    ]


async def publish(address: str, events: list[dict[str, Any]]) -> str:
    async with aio.insecure_channel(address) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        request = ingest.PublishEventsRequest(events=[Event(type="page_view", **each) for each in events])
        return (await stub.PublishEvents(request)).consistency_token


async def watched(address: str, resume: str, changes: int) -> str:
    """Watches until so many changes have come, and answers the token behind the last."""
    async with aio.insecure_channel(address) as channel:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        seen = 0
        async for answer in stub.WatchScores(query.WatchScoresRequest(resume_token=resume), timeout=LOAD_DEADLINE_S):
            seen += answer.HasField("update")
            if seen >= changes:
                return answer.resume_token
    raise AssertionError("the watch ended")


async def load(address: str, enough: asyncio.Event) -> list[str]:
    """Sends a batch for one lead after another, each on a connection of its own, again until it is answered."""
    tokens: list[str] = []
    async with asyncio.timeout(LOAD_DEADLINE_S):
        while not enough.is_set():
            lead_id = f"loaded-{len(tokens)}"
            events = [
                {"eventId": f"{lead_id}-{number}", "leadId": lead_id, "type": "page_view"} for number in range(BATCH)
            ]
            while (token := await sent(address, events)) is None:
                pass
            tokens.append(token)
    return tokens


async def sent(address: str, events: list[dict[str, str]]) -> str | None:
    """The token for a batch; None if it was not answered, or told to come again."""
    try:
        async with httpx.AsyncClient(base_url=address, timeout=10) as client:
            answer = await client.post("/v1/events:batch", json={"events": events})
    except httpx.TransportError:
        return None
    assert answer.status_code in (200, 503), answer.text
    return str(answer.json()["consistencyToken"]) if answer.status_code == 200 else None
