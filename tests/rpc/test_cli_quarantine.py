"""`leadscore quarantine` against planned answers: what is listed, and what is decided."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from services.shared.errors import NotFound
from tests.rpc.fake_services import Terminal, cells, terminal_at

CONFLICT = scorer.QuarantinedEvent(
    item_id=17,
    event_id="e1 [x]",
    lead_id="late",
    reason=scorer.QUARANTINE_REASON_CONFLICT,
    standing_lead_id="first",
    state=scorer.QUARANTINE_STATE_HELD,
    kind="event",
)


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Terminal]:
    async with terminal_at(tmp_path) as found:
        yield found


@pytest.mark.parametrize("named", [[], ["list"]])
async def test_quarantine_lists_who_stands_with_whom_with_or_without_being_told_to(
    terminal: Terminal, named: list[str]
) -> None:
    terminal.services.answers["ListQuarantine"] = scorer.ListQuarantineResponse(items=[CONFLICT], next_page_token="x")
    shown = await terminal.run("quarantine", *named)
    assert cells(shown) == [["17", "held", "e1 [x]", "late", "conflict", "first"]]
    assert "there are more" in shown.stdout


async def test_the_options_of_the_list_stand_without_its_name(terminal: Terminal) -> None:
    shown = await terminal.run("quarantine", "-n", "5", "--state", "dropped", "--json", "--tenant", "acme")
    assert (shown.exit_code, json.loads(shown.stdout)["items"]) == (0, [])
    expected = scorer.ListQuarantineRequest(page_size=5, state=scorer.QUARANTINE_STATE_DROPPED)
    assert terminal.services.requests == [expected]
    assert terminal.services.metadata["x-tenant-id"] == "acme"


async def test_help_and_a_command_that_is_none_are_about_the_group(terminal: Terminal) -> None:
    assert "release" in (await terminal.run("quarantine", "--help")).stdout
    assert "No such command 'relaese'" in (await terminal.run("quarantine", "relaese")).stderr
    assert terminal.services.requests == []


async def test_show_tells_all_that_is_known_and_nothing_else(terminal: Terminal) -> None:
    item = scorer.QuarantinedEvent(decided_by="ops", note="[checked]", released_event_id="e1~17")
    item.MergeFrom(CONFLICT)
    item.properties.update({"total": 12, "city": "Zürich\x9b2J\x1b[2J"})
    terminal.services.answers["GetQuarantined"] = item
    shown = await terminal.run("quarantine", "show", "17")
    rows = dict(cells(shown))
    assert rows["Properties"] == r'{"city": "Zürich\u009b2J\u001b[2J", "total": 12}', "no commands to the terminal"
    assert (rows["Note"], rows["Counts as"]) == ("[checked]", "e1~17")
    assert "Source" not in rows
    assert terminal.services.requests == [scorer.GetQuarantinedRequest(item_id=17)]
    programs = await terminal.run("quarantine", "show", "17", "--json")
    assert json.loads(programs.stdout)["itemId"] == "17"


async def test_released_items_are_named_with_the_id_under_which_they_count(terminal: Terminal) -> None:
    terminal.services.answers["ReleaseQuarantined"] = scorer.ReleaseQuarantinedResponse(event_id="e1~17")
    shown = await terminal.run("quarantine", "release", "17", "18", "--note", "checked")
    assert shown.stdout.splitlines()[0] == "item 17 counts as event e1~17"
    assert [(each.item_id, each.note) for each in terminal.services.requests] == [(17, "checked"), (18, "checked")]


async def test_an_item_that_cannot_be_decided_holds_up_no_other(terminal: Terminal) -> None:
    terminal.services.answers["DropQuarantined"] = [NotFound("there is no item 17"), CONFLICT]
    shown = await terminal.run("quarantine", "drop", "17", "18", "--json")
    assert shown.exit_code == 1
    assert shown.stderr == "Error: item 17: there is no item 17\n"
    assert len(json.loads(shown.stdout)) == 1


async def test_a_decision_needs_an_item(terminal: Terminal) -> None:
    assert (await terminal.run("quarantine", "release")).exit_code == 2
    assert (await terminal.run("quarantine", "drop", "x")).exit_code == 2
    assert terminal.services.requests == []
