"""`leadscore watch`, where changes were missed, and of changes that cross thresholds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.score.v1 import score_pb2

from cli import watch
from services.shared.errors import Unauthenticated
from tests.rpc.fake_services import Terminal, terminal_at


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Terminal]:
    async with terminal_at(tmp_path) as terminal:
        yield terminal


def message(token: str, score: int, **fields: Any) -> query.WatchScoresResponse:
    update = score_pb2.ScoreUpdate(lead_id=f"lead-{score}", previous_score=score, score=score, grade="D1")
    return query.WatchScoresResponse(resume_token=token, update=update, **fields)


async def test_states_are_shown_as_what_they_are_once_said_to_be_so(terminal: Terminal) -> None:
    for each in (message("t", 10, snapshot=True), message("t", 20, snapshot=True), message("t2", 30)):
        terminal.services.updates.put_nowait(each)
    terminal.services.updates.put_nowait(Unauthenticated("revoked"))
    shown = await terminal.run("watch")
    assert shown.stderr.splitlines() == [watch.LIVE, watch.MISSED, "Error: revoked; set LEADSCORE_API_KEY"]
    assert [line.split()[-1] for line in shown.stdout.splitlines()] == ["lead-10", "lead-20", "lead-30"]


async def test_only_crossings_can_be_asked_for(terminal: Terminal) -> None:
    terminal.services.updates.put_nowait(Unauthenticated("revoked"))
    await terminal.run("watch", "--crossings")
    assert terminal.services.requests == [query.WatchScoresRequest(crossings_only=True)]
