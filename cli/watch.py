"""`leadscore watch`: score changes as they happen."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import click
import grpc
from google.protobuf.json_format import MessageToJson
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.query.v1 import query_service_pb2_grpc
from leadscore.score.v1 import score_pb2
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from cli.client import Suite, find_suite
from cli.options import Lead, json_option, tenant_option

ROWS_MAX = 200
"""Changes kept for the live table; it shows as many as the terminal is high."""
FRAME_ROWS = 6
"""Lines of the live table that are no changes."""
REFRESHES_PER_S = 10
RECONNECT_S = 1.0
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)
"""How a connection ends when the other side is restarted."""
LIVE = "live"
AWAY = "the connection is lost; it goes on where it was as soon as it can"
MISSED = "changes were missed: this was away for too long; the leads come as they are now"


@click.command("watch")
@click.argument("leads", nargs=-1, type=Lead())
@click.option("--min-score", default=0, type=click.IntRange(0), help="Only changes to or from so many points.")
@click.option("--grades", is_flag=True, help="Only changes of the grade.")
@click.option("--crossings", is_flag=True, help="Only changes that cross a threshold.")
@tenant_option
@json_option
def command(
    leads: tuple[str, ...], min_score: int, grades: bool, crossings: bool, tenant: str | None, as_json: bool
) -> None:
    """Shows score changes as they happen, of all leads or of LEADS. Ctrl-C ends it."""
    suite = find_suite(tenant)
    request = query.WatchScoresRequest(
        lead_ids=leads, min_score=min_score, grade_changes_only=grades, crossings_only=crossings
    )
    try:
        if as_json or not sys.stdout.isatty():
            _print(suite, request, _as_json if as_json else _as_text)
        else:
            _show(suite, request)
    except grpc.RpcError as error:
        raise click.ClickException(suite.sentence(error, "query")) from None
    except KeyboardInterrupt:
        return


def follow(suite: Suite, request: query.WatchScoresRequest) -> Iterator[score_pb2.ScoreUpdate | str]:
    """Updates, for ever, and between them what is to be said of the connection. When that is lost, it goes on behind
    the last update as soon as it can. Raises RpcError if it cannot be made in the first place, or is refused.
    """
    was_live = False
    while True:
        try:
            with suite.channel("query") as channel:
                yield from _messages(suite, channel, request, wait_for_ready=was_live)
        except grpc.RpcError as error:
            failed: Any = error
            if failed.code() not in PASSING or not (was_live or request.resume_token):
                raise
            yield AWAY
        was_live = True
        time.sleep(RECONNECT_S)


def _messages(
    suite: Suite, channel: grpc.Channel, request: query.WatchScoresRequest, *, wait_for_ready: bool
) -> Iterator[score_pb2.ScoreUpdate | str]:
    """The updates of one connection; before those that are states of leads, it is said that changes were missed."""
    stub = query_service_pb2_grpc.QueryServiceStub(channel)
    said = said_missed = False
    for message in stub.WatchScores(request, metadata=suite.metadata, wait_for_ready=wait_for_ready):
        if not said:
            said = True
            yield LIVE
        request.resume_token = message.resume_token
        if message.snapshot and not said_missed:
            said_missed = True
            yield MISSED
        if message.HasField("update"):
            yield message.update


def _print(suite: Suite, request: query.WatchScoresRequest, line: Callable[[score_pb2.ScoreUpdate], str]) -> None:
    for each in follow(suite, request):
        if isinstance(each, str):
            click.echo(each, err=True)
        else:
            click.echo(line(each))


def _show(suite: Suite, request: query.WatchScoresRequest) -> None:
    console = Console()
    ticker = Ticker(console)
    with Live(ticker, console=console, screen=True, refresh_per_second=REFRESHES_PER_S):
        for each in follow(suite, request):
            ticker.take(each)


class Ticker:
    """The newest changes as a table. It is drawn some times a second, however fast they come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: deque[score_pb2.ScoreUpdate] = deque(maxlen=ROWS_MAX)
        self._note = "connecting ..."
        self._lock = threading.Lock()

    def take(self, each: score_pb2.ScoreUpdate | str) -> None:
        """Takes a change, or what is to be said of the connection."""
        with self._lock:
            if isinstance(each, str):
                self._note = each
            else:
                self._rows.appendleft(each)

    def __rich__(self) -> Table:
        with self._lock:
            rows = list(self._rows)[: max(1, self._console.height - FRAME_ROWS)]
            note = self._note
        table = Table(title="Score changes as they happen", caption=f"{escape(note)} · Ctrl-C ends", expand=True)
        table.add_column("When", no_wrap=True)
        table.add_column("Lead", ratio=1, no_wrap=True, overflow="ellipsis")
        for name in ("Change", "Score"):
            table.add_column(name, justify="right")
        for name in ("Grade", "Cause"):
            table.add_column(name)
        for update in rows:
            table.add_row(*_cells(update))
        return table


def _cells(update: score_pb2.ScoreUpdate) -> tuple[str, ...]:
    delta = update.score - update.previous_score
    colour = "green" if delta > 0 else "red" if delta < 0 else "white"
    when = update.recorded_at.ToDatetime().strftime("%H:%M:%S")
    cause = score_pb2.Cause.Name(update.cause).removeprefix("CAUSE_").lower() if update.cause else ""
    changed = update.previous_grade not in ("", update.grade)
    grade = f"{update.previous_grade} → {update.grade}" if changed else update.grade
    return when, escape(update.lead_id), f"[{colour}]{delta:+d}[/]", str(update.score), grade, cause


def _as_json(update: score_pb2.ScoreUpdate) -> str:
    return MessageToJson(update, indent=None, always_print_fields_with_no_presence=True)


def _as_text(update: score_pb2.ScoreUpdate) -> str:
    when = update.recorded_at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
    delta = update.score - update.previous_score
    return f"{when}  {delta:+5d}  {update.score:5d}  {update.grade:2}  {update.lead_id}"
