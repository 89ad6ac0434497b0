"""The commands about one lead against planned answers: what they send, and what they say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.score.v1 import score_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from services.shared.errors import FieldViolation, InvalidRequest, NotFound
from tests.rpc.fake_services import Terminal, cells, terminal_at

LEAD = "a/b [bold]ü"


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Terminal]:
    async with terminal_at(tmp_path) as found:
        yield found


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> Timestamp:
    return Timestamp(seconds=int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2026-03-01", at(2026, 3, 1)),
        ("2026-03-01T09:30", at(2026, 3, 1, 9, 30)),
        ("2026-03-01T09:30:00Z", at(2026, 3, 1, 9, 30)),
        ("2026-03-01T09:30+02:00", at(2026, 3, 1, 7, 30)),
    ],
)
async def test_explain_goes_back_to_a_time_which_is_utc_unless_it_says_otherwise(
    terminal: Terminal, given: str, meant: Timestamp
) -> None:
    terminal.services.answers["ExplainScore"] = scorer.ExplainScoreResponse(lead_id=LEAD, score=7, grade="D3")
    shown = await terminal.run("explain", LEAD, "--as-of", given, "--model", "3")
    assert f"{LEAD}: 7 points, grade D3 as of {meant.ToDatetime():%Y-%m-%d %H:%M} UTC" in shown.stdout
    expected = scorer.ExplainScoreRequest(lead_id=LEAD, as_of=meant, model_version=3)
    assert terminal.services.requests == [expected], "of a past time the newest changes say nothing"


async def test_explain_shows_who_set_a_score_by_hand_and_what_a_frequency_limit_held_back(terminal: Terminal) -> None:
    held = scorer.Override(score=500, reason="[met] at the fair", until=at(2027, 1, 1), actor="ops")
    terminal.services.answers["ExplainScore"] = scorer.ExplainScoreResponse(
        lead_id=LEAD,
        score=500,
        machine_score=10,
        override=held,
        contributions=[score_pb2.Contribution(rule="email_open", count=1, points=10)],
        rules=[scorer.RuleExplanation(rule="email_open", count=1, matched=5, points_each=10, raw=10, points=10)],
    )
    shown = await terminal.run("explain", LEAD)
    said = "Set by hand by ops until 2027-01-01 00:00 UTC to 500: [met] at the fair; the model gives 10"
    assert said in shown.stdout
    assert ["email_open", "1 of 5", "10", "", "+10"] in cells(shown)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["explain", "x", "--model", "3"], "--model needs --as-of"),
        (["explain", "x", "--as-of", "yesterday"], "'yesterday' is no time like 2027-03-01"),
        (["explain", "x", "--as-of", "0001-01-01T00:00+10:00"], "is no time like"),
        (["forecast", "x", "--days", "731"], "731 is not in the range"),
        (["override", "x"], "name a score and a --reason"),
        (["override", "x", "5"], "name a score and a --reason"),
        (["override", "x", "--reason", "r"], "name a score and a --reason"),
        (["override", "x", "5", "--clear"], "--clear stands alone"),
        (["override", "x", "1000001", "--reason", "r"], "is not in the range"),
        (["status", "x", "lukewarm"], "'lukewarm' is not one of"),
        (["note", "x", "\udcff"], "is not UTF-8"),
    ],
)
async def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    terminal: Terminal, arguments: list[str], sentence: str
) -> None:
    shown = await terminal.run(*arguments)
    assert sentence in shown.stderr
    assert (shown.exit_code, terminal.services.requests) == (2, [])


def forecast(*steps: scorer.ForecastStep) -> scorer.ForecastScoreResponse:
    return scorer.ForecastScoreResponse(lead_id=LEAD, score=80, grade="A1", steps=steps)


def step(day: int, score: int, grade: str) -> scorer.ForecastStep:
    decay = score_pb2.CAUSE_DECAY
    return scorer.ForecastStep(at=at(2027, 3, day), score=score, engagement=score, grade=grade, cause=decay)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (forecast(), "nothing changes within 30 days if nothing happens"),
        (
            forecast(step(1, 70, "A1"), step(3, 40, "A2"), step(5, 0, "A3")),
            "falls from A1 to A2 on 3 March 2027 if nothing happens",
        ),
        (forecast(step(3, 90, "A2")), "rises from A1 to A2 on 3 March 2027 if nothing happens"),
        (forecast(step(3, 80, "B1")), "goes from A1 to B1 on 3 March 2027 if nothing happens"),
        (
            forecast(step(1, 70, "A1"), step(9, 60, "A1")),
            "keeps its grade for 30 days and is at 60 points from 9 March 2027 on if nothing happens",
        ),
    ],
)
async def test_a_forecast_begins_with_what_matters_most(
    terminal: Terminal, found: scorer.ForecastScoreResponse, sentence: str
) -> None:
    terminal.services.answers["ForecastScore"] = found
    shown = await terminal.run("forecast", LEAD, "--days", "30")
    assert shown.stdout.splitlines()[0] == f"{LEAD}: 80 points, grade A1; {sentence}"
    assert terminal.services.requests == [scorer.ForecastScoreRequest(lead_id=LEAD, days=30)]


async def test_a_forecast_lists_each_change_and_the_thresholds_that_it_crosses(terminal: Terminal) -> None:
    last = step(3, 40, "A2")
    last.crossings.add(threshold="grade", before="A1", after="A2")
    last.crossings.add(threshold="call [now]", before="above", after="below")
    terminal.services.answers["ForecastScore"] = forecast(step(1, 70, "A1"), last)
    shown = await terminal.run("forecast", LEAD)
    assert cells(shown) == [
        ["2027-03-01 00:00", "-10", "70", "70", "0", "A1", "decay", ""],
        ["2027-03-03 00:00", "-30", "40", "40", "0", "A2", "decay", "call [now]: below"],
    ]
    programs = await terminal.run("forecast", LEAD, "--json")
    assert len(json.loads(programs.stdout)["steps"]) == 2


async def test_an_override_says_how_long_it_holds(terminal: Terminal) -> None:
    shown = await terminal.run("override", LEAD, "500", "--reason", "met", "--until", "2027-03-01")
    assert shown.stdout == f"{LEAD} is held at 500 points until 2027-03-01 00:00 UTC\n"
    expected = scorer.OverrideScoreRequest(lead_id=LEAD, score=500, reason="met", until=at(2027, 3, 1))
    assert terminal.services.requests == [expected]
    shown = await terminal.run("override", LEAD, "0", "--reason", "left", "--tenant", "acme")
    assert shown.stdout == f"{LEAD} is held at 0 points until it is taken back\n"
    assert terminal.services.metadata["x-tenant-id"] == "acme"


async def test_an_override_is_taken_back(terminal: Terminal) -> None:
    terminal.services.answers["ClearOverride"] = scorer.ClearOverrideResponse(event_id="o2")
    shown = await terminal.run("override", LEAD, "--clear", "--json")
    assert json.loads(shown.stdout)["eventId"] == "o2"
    assert terminal.services.requests == [scorer.ClearOverrideRequest(lead_id=LEAD)]


async def test_the_pipeline_takes_a_status_an_owner_and_notes(terminal: Terminal) -> None:
    terminal.services.answers["AddNote"] = ingest.AddNoteResponse(event_id="n1")
    said = [
        (await terminal.run(*arguments)).stdout
        for arguments in (
            ("status", LEAD, "won"),
            ("assign", LEAD, "kim"),
            ("assign", LEAD, ""),
            ("note", LEAD, "called\ntwice", "--author", "kim"),
        )
    ]
    assert said == [
        f"{LEAD} has status won\n",
        f"kim takes care of {LEAD}\n",
        f"nobody takes care of {LEAD}\n",
        f"the note is kept with {LEAD} as n1\n",
    ]
    assert terminal.services.requests == [
        ingest.SetLeadStatusRequest(lead_id=LEAD, status="won"),
        ingest.AssignLeadRequest(lead_id=LEAD, owner="kim"),
        ingest.AssignLeadRequest(lead_id=LEAD),
        ingest.AddNoteRequest(lead_id=LEAD, text="called\ntwice", author="kim"),
    ]


async def test_a_lead_is_erased_only_if_that_is_meant(terminal: Terminal) -> None:
    terminal.services.answers["DeleteLead"] = ingest.DeleteLeadResponse(event_id="DSR-17", consistency_token="t")
    unsure = await terminal.run("erase", LEAD)
    assert (unsure.exit_code, unsure.stdout, terminal.services.requests) == (1, "", [])
    assert f"Erase {LEAD} with its whole history?" in unsure.stderr
    erased = await terminal.run("erase", LEAD, "--yes", "--id", "DSR-17")
    assert erased.stdout == f"{LEAD} is erased in its turn; the audit log will have it as erasure/DSR-17\n"
    assert json.loads((await terminal.run("erase", LEAD, "--yes", "--json")).stdout)["consistencyToken"] == "t"
    assert terminal.services.requests == [
        ingest.DeleteLeadRequest(lead_id=LEAD, event_id="DSR-17"),
        ingest.DeleteLeadRequest(lead_id=LEAD),
    ]


@pytest.mark.parametrize("command", [["status", "x", "won"], ["assign", "x", "kim"], ["note", "x", "text"]])
async def test_the_pipeline_answers_programs_with_the_token(terminal: Terminal, command: list[str]) -> None:
    for rpc, answer in (
        ("SetLeadStatus", ingest.SetLeadStatusResponse(consistency_token="t")),
        ("AssignLead", ingest.AssignLeadResponse(consistency_token="t")),
        ("AddNote", ingest.AddNoteResponse(consistency_token="t")),
    ):
        terminal.services.answers[rpc] = answer
    assert json.loads((await terminal.run(*command, "--json")).stdout)["consistencyToken"] == "t"


@pytest.mark.parametrize(
    ("rpc", "arguments"),
    [
        ("ForecastScore", ["forecast", "x"]),
        ("OverrideScore", ["override", "x", "5", "--reason", "r"]),
        ("ClearOverride", ["override", "x", "--clear"]),
        ("SetLeadStatus", ["status", "x", "won"]),
        ("AssignLead", ["assign", "x", "kim"]),
        ("AddNote", ["note", "x", "text"]),
        ("DeleteLead", ["erase", "x", "--yes"]),
    ],
)
async def test_what_is_refused_is_one_sentence(terminal: Terminal, rpc: str, arguments: list[str]) -> None:
    terminal.services.answers[rpc] = [
        InvalidRequest([FieldViolation("lead_id", "is too long")]),
        NotFound("nothing is known of lead 'x'"),
    ]
    for sentence in ("lead_id: is too long", "nothing is known of lead 'x'"):
        shown = await terminal.run(*arguments)
        assert (shown.exit_code, shown.stderr, shown.stdout) == (1, f"Error: {sentence}\n", "")
