"""Rescores, operations and the audit log against planned answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from leadscore.admin.v1 import admin_service_pb2 as admin
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from cli import operations
from services.shared.errors import NotFound
from tests.rpc.fake_services import Terminal, cells, terminal_at


@pytest.fixture
async def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Terminal]:
    monkeypatch.setattr(operations, "LOOK_INTERVAL_S", 0.0)
    async with terminal_at(tmp_path) as found:
        yield found


def operation(state: str, done: int) -> scorer.Operation:
    return scorer.Operation(
        operation_id=9,
        state=scorer.OperationState.Value(f"OPERATION_STATE_{state}"),
        model_version=3,
        leads_total=10,
        leads_done=done,
        leads_changed=done // 2,
        created_at=Timestamp(seconds=1_800_000_000),
        created_by="ops",
    )


def asked(terminal: Terminal) -> list[str]:
    return [type(request).__name__.removesuffix("Request") for request in terminal.services.requests]


async def test_a_rescore_is_followed_to_its_end_also_across_a_restart(terminal: Terminal) -> None:
    terminal.services.answers["Rescore"] = operation("RUNNING", 0)
    terminal.services.answers["GetOperation"] = [
        operation("RUNNING", 4),
        grpc.StatusCode.UNAVAILABLE,
        operation("DONE", 10),
    ]
    shown = await terminal.run("rescore")
    assert shown.exit_code == 0
    assert shown.stdout == "operation 9, model 3: done, 10 of 10 leads, 5 scores changed\n"
    assert asked(terminal) == ["Rescore", *["GetOperation"] * 3]


async def test_a_rescore_that_was_stopped_on_the_way_is_no_success(terminal: Terminal) -> None:
    terminal.services.answers["Rescore"] = operation("RUNNING", 0)
    terminal.services.answers["GetOperation"] = operation("CANCELLED", 4)
    shown = await terminal.run("rescore", "--json")
    assert (shown.exit_code, json.loads(shown.stdout)["state"]) == (1, "OPERATION_STATE_CANCELLED")


async def test_a_rescore_that_can_no_longer_be_looked_at_ends_with_a_sentence(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.services.answers["Rescore"] = operation("RUNNING", 0)
    terminal.services.answers["GetOperation"] = NotFound("there is no operation 9")
    shown = await terminal.run("rescore")
    assert (shown.exit_code, shown.stderr) == (1, "Error: there is no operation 9\n")
    monkeypatch.setattr(operations, "AWAY_S_MAX", -1.0)
    terminal.services.answers["GetOperation"] = grpc.StatusCode.UNAVAILABLE
    assert "scorer does not answer" in (await terminal.run("rescore")).stderr


async def test_ctrl_c_stops_the_showing_and_not_the_rescore(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.operations.time.sleep", interrupted)
    terminal.services.answers["Rescore"] = operation("RUNNING", 0)
    shown = await terminal.run("rescore")
    assert "goes on in the background; `leadscore operations show 9`" in shown.stderr
    assert asked(terminal) == ["Rescore"]


async def test_a_detached_rescore_is_not_waited_for(terminal: Terminal) -> None:
    terminal.services.answers["Rescore"] = operation("RUNNING", 0)
    shown = await terminal.run("rescore", "--detach", "--tenant", "acme")
    assert shown.stdout == "operation 9, model 3: running, 0 of 10 leads, 0 scores changed\n"
    assert asked(terminal) == ["Rescore"]
    assert terminal.services.metadata["x-tenant-id"] == "acme"


async def test_operations_are_listed_with_or_without_being_told_to(terminal: Terminal) -> None:
    listed = scorer.ListOperationsResponse(operations=[operation("RUNNING", 4)], next_page_token="x")
    terminal.services.answers["ListOperations"] = listed
    shown = await terminal.run("operations", "-n", "3")
    assert cells(shown) == [["9", "running", "3", "10", "4", "2", "2027-01-15 08:00:00", "ops", ""]]
    assert "there are more" in shown.stdout
    assert terminal.services.requests == [scorer.ListOperationsRequest(page_size=3)]
    programs = await terminal.run("operations", "list", "--json")
    assert json.loads(programs.stdout)["operations"][0]["operationId"] == "9"


async def test_an_operation_is_shown_and_cancelled(terminal: Terminal) -> None:
    terminal.services.answers["GetOperation"] = operation("RUNNING", 4)
    terminal.services.answers["CancelOperation"] = operation("CANCELLED", 4)
    assert "running, 4 of 10 leads" in (await terminal.run("operations", "show", "9")).stdout
    shown = await terminal.run("operations", "cancel", "9")
    assert (shown.exit_code, "cancelled, 4 of 10 leads" in shown.stdout) == (0, True)
    assert asked(terminal) == ["GetOperation", "CancelOperation"]


async def test_the_audit_log_says_who_did_what_to_what(terminal: Terminal) -> None:
    entry = admin.AuditEntry(
        at=Timestamp(seconds=1_800_000_000), actor="ops [1]", action="override.set", subject="lead/ada"
    )
    entry.details.update({"reason": "met"})
    terminal.services.answers["ListAudit"] = admin.ListAuditResponse(entries=[entry])
    shown = await terminal.run("audit", "-n", "5", "--subject", "lead/ada")
    assert cells(shown) == [["2027-01-15 08:00:00", "ops [1]", "override.set", "lead/ada", '{"reason": "met"}']]
    assert terminal.services.requests == [admin.ListAuditRequest(page_size=5, subject="lead/ada")]
    programs = await terminal.run("audit", "--json")
    assert json.loads(programs.stdout)["entries"][0]["details"] == {"reason": "met"}
