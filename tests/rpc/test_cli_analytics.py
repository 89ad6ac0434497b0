"""The figures on the command line against planned answers: what is asked for, and what is shown."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from leadscore.query.v1 import analytics_pb2 as analytics

from cli.analytics import duration
from services.shared.errors import FieldViolation, InvalidRequest
from tests.rpc.fake_services import Terminal, cells, terminal_at


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Terminal]:
    async with terminal_at(tmp_path) as found:
        yield found


def at(day: int, hour: int = 0) -> Timestamp:
    return Timestamp(seconds=int(datetime(2027, 3, day, hour, tzinfo=UTC).timestamp()))


PERIOD: dict[str, Any] = {"from": at(1), "to": at(9)}
ASKED = [
    (["activity", "--from", "2027-03-01", "--to", "2027-03-09", "--step", "hour", "--type", "a", "--type", "B c"],
     "GetActivity", analytics.GetActivityRequest(step=analytics.TIME_STEP_HOUR, types=["a", "B c"], **PERIOD)),
    (["activity"], "GetActivity", analytics.GetActivityRequest(step=analytics.TIME_STEP_DAY)),
    (["active", "--to", "2027-03-09"], "GetActiveLeads", analytics.GetActiveLeadsRequest(to=at(9))),
    (["distribution", "--bucket", "20", "--from", "2027-03-01", "--to", "2027-03-09"],
     "GetDistribution", analytics.GetDistributionRequest(bucket_points=20, **PERIOD)),
    (["sources"], "GetSources", analytics.GetSourcesRequest()),
    (["companies", "-n", "3", "--by", "leads"],
     "GetCompanies", analytics.GetCompaniesRequest(size=3, order=analytics.COMPANY_ORDER_LEADS)),
    (["companies"], "GetCompanies",
     analytics.GetCompaniesRequest(size=50, order=analytics.COMPANY_ORDER_TOTAL_SCORE)),
    (["funnel", "--from", "2027-03-01", "--to", "2027-03-09"], "GetFunnel", analytics.GetFunnelRequest(**PERIOD)),
    (["rules"], "GetRuleContributions", analytics.GetRuleContributionsRequest()),
]  # fmt: skip


async def test_each_command_asks_for_its_figure_shows_nothing_of_nothing_and_answers_programs(
    terminal: Terminal,
) -> None:
    for arguments, rpc, request in ASKED:
        terminal.services.requests.clear()
        shown = await terminal.run("analytics", *arguments, "--tenant", "acme")
        assert (shown.exit_code, terminal.services.requests) == (0, [request]), shown.output
        assert terminal.services.metadata["x-tenant-id"] == "acme"
        assert isinstance(json.loads((await terminal.run("analytics", *arguments, "--json")).stdout), dict)
        terminal.services.answers[rpc] = InvalidRequest([FieldViolation("from", "must not be after `to`")])
        refused = await terminal.run("analytics", *arguments)
        assert (refused.exit_code, refused.stderr) == (1, "Error: from: must not be after `to`\n")
        del terminal.services.answers[rpc]


async def test_what_makes_no_sense_is_refused_before_anything_is_sent(terminal: Terminal) -> None:
    for arguments in (
        ["activity", "--step", "week"],
        ["active", "--from", "yesterday"],
        ["distribution", "--bucket", "9"],
        ["companies", "-n", "1001"],
        ["activity", "--type", "\udcff"],
    ):
        assert (await terminal.run("analytics", *arguments)).exit_code == 2
    assert terminal.services.requests == []


async def test_activity_has_a_column_for_each_type_and_one_for_those_that_are_too_many(terminal: Terminal) -> None:
    points = [analytics.ActivityPoint(at=at(1), type="[a]\x1b", events=90)]
    points += [analytics.ActivityPoint(at=at(2, 7), type=f"t{number}", events=20 - number) for number in range(9)]
    terminal.services.answers["GetActivity"] = analytics.GetActivityResponse(points=points)
    shown = await terminal.run("analytics", "activity")
    assert cells(shown) == [
        ["2027-03-01", "90", *["0"] * 7, "0", "90"],
        ["2027-03-02", "0", "20", "19", "18", "17", "16", "15", "14", "25", "144"],
    ]
    assert "[a]\\u001b" in shown.stdout
    assert "2027-03-02 07:00" in (await terminal.run("analytics", "activity", "--step", "hour")).stdout


async def test_active_leads_and_distributions_are_bars(terminal: Terminal) -> None:
    days = [analytics.ActiveLeadsPoint(at=at(day), leads=leads) for day, leads in ((1, 40), (3, 20), (4, 1))]
    terminal.services.answers["GetActiveLeads"] = analytics.GetActiveLeadsResponse(points=days)
    shown = cells(await terminal.run("analytics", "active"))
    assert shown == [["2027-03-01", "40", "█" * 40], ["2027-03-03", "20", "█" * 20], ["2027-03-04", "1", "█"]]
    scores = [analytics.ScoreStep(from_score=50, leads=3)]
    grades = [analytics.GradeShare(grade="A1", leads=1), analytics.GradeShare(grade="D3", leads=2)]
    ends = [
        analytics.DistributionOfDay(day=at(1)),
        analytics.DistributionOfDay(day=at(2), scores=scores, grades=grades),
    ]
    terminal.services.answers["GetDistribution"] = analytics.GetDistributionResponse(
        scores=scores, grades=grades, leads=3, average_score=61.25, days=ends
    )
    spread = await terminal.run("analytics", "distribution")
    assert spread.stdout.startswith("3 leads, 61.2 points on average\n")
    assert cells(spread) == [["50", "3", "█" * 40], ["A1", "1", "█" * 13], ["D3", "2", "█" * 27]]
    by_day = cells(await terminal.run("analytics", "distribution", "--days"))
    assert by_day[3:] == [["2027-03-01", "0", "0"], ["2027-03-02", "1", "2"]]


async def test_sources_companies_and_rules_are_tables(terminal: Terminal) -> None:
    answers = terminal.services.answers
    answers["GetSources"] = analytics.GetSourcesResponse(
        sources=[
            analytics.SourceShare(source="shop", events=9, leads=2, average_score=12.5),
            analytics.SourceShare(events=1),
        ]
    )
    assert cells(await terminal.run("analytics", "sources")) == [
        ["shop", "2", "12.5", "9"],
        ["(none)", "0", "0.0", "1"],
    ]
    company = analytics.CompanyShare(company="[red]A\nB & Ä", leads=2, total_score=25, average_score=12.5)
    answers["GetCompanies"] = analytics.GetCompaniesResponse(companies=[company])
    assert cells(await terminal.run("analytics", "companies")) == [["[red]A\\u000aB & Ä", "2", "25", "12.5"]]
    answers["GetRuleContributions"] = analytics.GetRuleContributionsResponse(
        rules=[
            analytics.RuleShare(rule="visit", leads=3, points=1_234_567.5),
            analytics.RuleShare(rule="score_max", leads=1, points=-67.5),
        ],
        total_score=1_234_500,
    )
    assert cells(await terminal.run("analytics", "rules")) == [
        ["visit", "3", "+1,234,567.5"], ["score_max", "1", "-67.5"], ["all scores", "", "1,234,500"],
    ]  # fmt: skip


async def test_the_funnel_has_stages_and_moves(terminal: Terminal) -> None:
    terminal.services.answers["GetFunnel"] = analytics.GetFunnelResponse(
        stages=[
            analytics.FunnelStage(status="new", leads=6, average_score=5, reached=9, conversion=1),
            analytics.FunnelStage(status="contacted", leads=3, average_score=12.25, reached=3, conversion=1 / 3),
        ],
        moves=[analytics.FunnelMove(from_status="new", to_status="contacted", moves=3, average_s=273_700)],
    )
    assert cells(await terminal.run("analytics", "funnel")) == [
        ["new", "6", "5.0", "9", "100.0%"], ["contacted", "3", "12.2", "3", "33.3%"],
        ["new", "contacted", "3", "3 d 4 h"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (0.4, "0 s"), (59.6, "1 min"), (3_599, "59 min 59 s"), (86_400, "1 d"), (90_061, "1 d 1 h"),
     (86_460, "1 d"), (864_000_000, "10000 d")],
)  # fmt: skip
def test_a_duration_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said
