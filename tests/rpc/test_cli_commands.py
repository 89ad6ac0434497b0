"""The commands against services whose answers are planned: what they show, what they send, and how they fail."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.score.v1 import score_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from rich.console import Console

from cli import watch
from cli.client import Suite
from cli.doors import Doors
from services.shared.errors import FieldViolation, InvalidRequest, NotFound, Unauthenticated, Unavailable
from services.shared.settings import Settings
from tests.rpc.fake_services import FakeServices, Terminal, cells, served

DEADLINE_S = 20.0
ODD_LEAD = "a/b+c=d@e [bold]ü"
SERVICE_NAMES = ("ingest", "scorer", "query")


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of whoever runs the tests must not matter."""
    for name in ("API_KEY", "ADMIN_KEY", "TENANT", *(f"{each.upper()}_PORT" for each in SERVICE_NAMES)):
        monkeypatch.delenv(f"LEADSCORE_{name}", raising=False)
    monkeypatch.setenv("LEADSCORE_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
async def terminal() -> AsyncIterator[Terminal]:
    services = FakeServices()
    for name in SERVICE_NAMES:
        await services.set_health(name, serving=True)
    async with served(services) as port:
        yield Terminal(services, {f"LEADSCORE_{name.upper()}_ADDRESS": f"127.0.0.1:{port}" for name in SERVICE_NAMES})


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def board() -> query.ListLeaderboardResponse:
    entry = query.LeaderboardEntry(rank=1, lead_id=ODD_LEAD, score=137, engagement=52, fit=85, grade="A1")
    return query.ListLeaderboardResponse(entries=[entry], total_leads=7)


async def test_top_shows_the_leaderboard_with_ids_as_they_are(terminal: Terminal) -> None:
    terminal.services.answers["ListLeaderboard"] = board()
    shown = await terminal.run("top", "-n", "3")
    assert shown.exit_code == 0
    assert ODD_LEAD in shown.stdout
    assert "1 of 7 leads" in shown.stdout
    assert terminal.services.requests[-1].page_size == 3
    assert terminal.services.deadline_s is not None


async def test_top_is_json_for_programs(terminal: Terminal) -> None:
    terminal.services.answers["ListLeaderboard"] = board()
    shown = await terminal.run("top", "--json")
    assert json.loads(shown.stdout)["entries"][0]["leadId"] == ODD_LEAD


async def test_the_key_and_the_tenant_go_with_every_call(terminal: Terminal) -> None:
    await terminal.run("top", "--tenant", "acme", LEADSCORE_API_KEY="sesame")
    assert terminal.services.metadata["authorization"] == "Bearer sesame"
    assert terminal.services.metadata["x-tenant-id"] == "acme"
    await terminal.run("top", LEADSCORE_ADMIN_KEY="bootstrap")
    assert terminal.services.metadata["authorization"] == "Bearer bootstrap"


async def test_explain_shows_what_adds_up_to_the_score(terminal: Terminal) -> None:
    lines = [("purchase", 3, 300.0), ("page_view", 200, 800.0), ("bound:engagement", 0, -100.0)]
    terminal.services.answers["ExplainScore"] = scorer.ExplainScoreResponse(
        lead_id=ODD_LEAD,
        score=1000,
        contributions=[score_pb2.Contribution(rule=rule, count=n, points=points) for rule, n, points in lines],
        rules=[
            scorer.RuleExplanation(rule="purchase", points_each=100, raw=300, points=300),
            scorer.RuleExplanation(rule="page_view", points_each=5, raw=1000, points=800),
        ],
    )
    change = query.LedgerEntry(sequence=3, delta=5, score_after=1000, type="page_view", event_id="e-[3]")
    terminal.services.answers["ListHistory"] = query.ListHistoryResponse(entries=[change])
    shown = await terminal.run("explain", ODD_LEAD)
    assert shown.exit_code == 0
    rows = cells(shown)
    assert ["purchase", "3", "100", "", "+300"] in rows
    assert ["page_view", "200", "5", "+1000", "+800"] in rows, "its own bound shows"
    assert ["bound:engagement", "", "", "", "-100"] in rows
    assert ["score", "", "", "", "1000"] in rows
    assert rows[-1][1:] == ["page_view", "+5", "1000", "e-[3]"]
    assert {request.lead_id for request in terminal.services.requests} == {ODD_LEAD}


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (NotFound("nothing is known of lead 'x'"), "Error: nothing is known of lead 'x'\n"),
        (Unauthenticated("the key is not known"), "Error: the key is not known; set LEADSCORE_API_KEY\n"),
        (InvalidRequest([FieldViolation("lead_id", "is too long")]), "Error: lead_id: is too long\n"),
        (Unavailable("the database is away"), "Error: the database is away\n"),
    ],
)
async def test_what_a_service_refuses_is_one_sentence(terminal: Terminal, failure: Exception, sentence: str) -> None:
    terminal.services.answers["ExplainScore"] = failure
    shown = await terminal.run("explain", "x")
    assert (shown.exit_code, shown.stderr, shown.stdout) == (1, sentence, "")


async def test_a_code_without_details_names_the_service_and_the_code(terminal: Terminal) -> None:
    terminal.services.answers["ExplainScore"] = grpc.StatusCode.UNIMPLEMENTED
    shown = await terminal.run("explain", "x")
    assert shown.exit_code == 1
    assert "scorer at 127.0.0.1" in shown.stderr
    assert "UNIMPLEMENTED" in shown.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["top"],
        ["explain", "x"],
        ["explain", "x", "--as-of", "2026-03-01"],
        ["forecast", "x"],
        ["override", "x", "5", "--reason", "r"],
        ["status", "x", "won"],
        ["quarantine"],
        ["quarantine", "drop", "1"],
        ["operations"],
        ["rescore"],
        ["audit"],
        ["model", "pull"],
        ["model", "simulate", "1"],
        ["watch"],
        ["doctor"],
    ],
    ids=" ".join,
)
async def test_without_a_suite_the_sentence_says_how_to_start_one(arguments: list[str]) -> None:
    nobody = free_address()
    environment = {f"LEADSCORE_{name.upper()}_ADDRESS": nobody for name in SERVICE_NAMES}
    shown = await Terminal(FakeServices(), dict(environment)).run(*arguments, COLUMNS="300")
    assert shown.exit_code == 1
    assert f"does not answer at {nobody}; start the suite (`make run`) or set LEADSCORE_" in shown.output
    assert isinstance(shown.exception, SystemExit), "never a trace"


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["top"], {"LEADSCORE_QUERY_PORT": "x"}, "LEADSCORE_QUERY_PORT must be a whole number"),
        (["top"], {"LEADSCORE_API_KEY": "schlüssel"}, "LEADSCORE_API_KEY must be printable ASCII"),
        (["top", "--tenant", "a\nb"], {}, "--tenant must be printable ASCII"),
        (["explain", "\udcff"], {}, "is not UTF-8"),
        (["load", "/nonexistent"], {}, "does not exist"),
    ],
)
async def test_what_cannot_be_sent_is_one_sentence(
    terminal: Terminal, arguments: list[str], environment: dict[str, str], sentence: str
) -> None:
    shown = await terminal.run(*arguments, **environment)
    assert sentence in shown.stderr
    assert shown.exit_code > 0
    assert isinstance(shown.exception, SystemExit), "never a trace"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--map", "lead_id"], "is not like lead_id=user_id"),
        (["--map", "lead_id=a,lead_id=b"], "stands twice"),
        (["--map", "lead_id=a", "--map", "type=b,lead_id=c"], "'lead_id' stands twice"),
        (["--map", "leader=a"], "no field 'leader'"),
        (["--type", "Page"], 'is not like "Order Completed=purchase"'),
        (["--timezone", "Mars"], "no time zone 'Mars'"),
        (["--errors", "/nonexistent/errors.csv"], "cannot be written"),
    ],
)
async def test_load_refuses_options_that_make_no_sense(
    terminal: Terminal, tmp_path: Path, options: list[str], sentence: str
) -> None:
    file = tmp_path / "events.csv"
    file.write_text("lead_id,type\na,page_view\n")
    shown = await terminal.run("load", str(file), *options)
    assert sentence in shown.stderr
    assert shown.exit_code > 0
    assert not terminal.services.requests, "nothing was sent"


async def test_columns_that_are_mapped_one_by_one_are_all_mapped(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text("lead_id,type\na,page_view\n")
    shown = await terminal.run("load", str(file), "--map", "lead_id=who", "--map", "type=type")
    assert "no column 'who', to which 'lead_id' is mapped" in shown.stderr
    assert shown.exit_code > 0


async def test_the_doctor_finds_a_healthy_suite_well(terminal: Terminal) -> None:
    partition = scorer.PartitionProgress(partition=0, owner="one")
    terminal.services.answers["GetProgress"] = scorer.GetProgressResponse(partitions=[partition], scorers=["one"])
    shown = await terminal.run("doctor")
    assert shown.exit_code == 0, shown.output
    assert "WRONG" not in shown.stdout


@pytest.mark.parametrize(
    ("progress", "sentence"),
    [
        (scorer.GetProgressResponse(dead_letters=3), "3 facts could not be processed"),
        (scorer.GetProgressResponse(pending=9, lag_s=99.0), "9 messages wait, the oldest for 99.0 s"),
        (scorer.GetProgressResponse(partitions=[scorer.PartitionProgress(partition=4)]), "nobody consumes 4"),
        (Unauthenticated("a key is needed"), "a key is needed; set LEADSCORE_API_KEY"),
    ],
)
async def test_the_doctor_says_what_is_wrong(terminal: Terminal, progress: Any, sentence: str) -> None:
    terminal.services.answers["GetProgress"] = progress
    shown = await terminal.run("doctor", "--json")
    wrong = [finding["says"] for finding in json.loads(shown.stdout) if not finding["is_well"]]
    assert shown.exit_code == 1
    assert len(wrong) == 1
    assert sentence in wrong[0]


async def test_the_doctor_tells_alive_from_ready_and_finds_mistyped_settings(terminal: Terminal) -> None:
    await terminal.services.set_health("ingest", serving=False)
    shown = await terminal.run("doctor", "--json", LEADSCORE_QUERY_PROT="1")
    wrong = {finding["what"]: finding["says"] for finding in json.loads(shown.stdout) if not finding["is_well"]}
    assert wrong.pop("settings") == "there is no setting LEADSCORE_QUERY_PROT"
    assert [says.partition(",")[0] for says in wrong.values()] == ["runs"]


def update(lead_id: str, score: int) -> score_pb2.ScoreUpdate:
    return score_pb2.ScoreUpdate(lead_id=lead_id, previous_score=score - 5, score=score, grade="D1")


def message(token: str, lead_id: str = "", score: int = 0) -> query.WatchScoresResponse:
    return query.WatchScoresResponse(resume_token=token, update=update(lead_id, score) if lead_id else None)


def suite_at(address: str) -> Suite:
    return Suite(Settings(), Doors(address, address, address, address), ())


class Following:
    """A watch that goes on in threads, step by step."""

    def __init__(self, address: str) -> None:
        self.request = query.WatchScoresRequest()
        self._steps: Iterator[Any] = watch.follow(suite_at(address), self.request)

    async def step(self) -> Any:
        async with asyncio.timeout(DEADLINE_S):
            return await asyncio.to_thread(next, self._steps)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnects without waiting."""
    monkeypatch.setattr(watch, "RECONNECT_S", 0.0)


@pytest.mark.usefixtures("at_once")
async def test_a_watch_goes_on_behind_the_last_update_when_the_service_is_back() -> None:
    services = FakeServices()
    async with served(services) as port:
        following = Following(f"127.0.0.1:{port}")
        services.updates.put_nowait(message("t1", "a", 5))
        assert await following.step() == watch.LIVE
        assert (await following.step()).lead_id == "a"
        services.updates.put_nowait(grpc.StatusCode.UNAVAILABLE)
        assert await following.step() == watch.AWAY
    async with served(services, port):
        services.updates.put_nowait(message("t2", "a", 10))
        assert await following.step() == watch.LIVE
        assert (await following.step()).score == 10
        assert services.requests[-1].resume_token == "t1"
        services.updates.put_nowait(grpc.StatusCode.UNAUTHENTICATED)
        with pytest.raises(grpc.RpcError):
            await following.step()


@pytest.mark.usefixtures("at_once")
async def test_a_watch_that_was_away_for_too_long_says_so_and_goes_on_with_the_leads_as_they_are() -> None:
    services = FakeServices()
    async with served(services) as port:
        following = Following(f"127.0.0.1:{port}")
        services.updates.put_nowait(message("t1", "a", 5))
        assert [await following.step(), (await following.step()).lead_id] == [watch.LIVE, "a"]
        services.updates.put_nowait(grpc.StatusCode.UNAVAILABLE)
        assert await following.step() == watch.AWAY
        for lead_id in ("a", "b"):
            services.updates.put_nowait(
                query.WatchScoresResponse(resume_token="t1", update=update(lead_id, 9), snapshot=True)
            )
        services.updates.put_nowait(message("t9", "a", 10))
        assert [await following.step(), await following.step()] == [watch.LIVE, watch.MISSED]
        assert services.requests[-1].resume_token == "t1"
        assert [(await following.step()).score for _ in range(3)] == [9, 9, 10]
        assert following.request.resume_token == "t9"


async def test_a_watch_that_is_refused_at_first_ends_with_a_sentence(terminal: Terminal) -> None:
    terminal.services.updates.put_nowait(Unauthenticated("the key is not known"))
    shown = await terminal.run("watch")
    assert (shown.exit_code, shown.stderr) == (1, "Error: the key is not known; set LEADSCORE_API_KEY\n")


async def test_a_watch_prints_plain_lines_where_nobody_looks(terminal: Terminal) -> None:
    for each in (message("t0"), message("t1", ODD_LEAD, 55), Unauthenticated("revoked")):
        terminal.services.updates.put_nowait(each)
    shown = await terminal.run("watch", "--min-score", "50", ODD_LEAD)
    assert shown.stdout.endswith(f"   +5     55  D1  {ODD_LEAD}\n")
    assert terminal.services.requests[-1] == query.WatchScoresRequest(lead_ids=[ODD_LEAD], min_score=50)


def test_the_live_table_shows_the_newest_first_and_no_more_than_fit() -> None:
    console = Console(width=100, height=9, force_terminal=False)
    ticker = watch.Ticker(console)
    for score in range(10, 60, 5):
        ticker.take(update(f"lead {score} [red]", score))
    ticker.take(watch.LIVE)
    with console.capture() as captured:
        console.print(ticker)
    rows = [line for line in captured.get().splitlines() if "lead " in line]
    assert [row.split("│")[2].strip() for row in rows] == ["lead 55 [red]", "lead 50 [red]", "lead 45 [red]"]
    assert "live" in captured.get()
