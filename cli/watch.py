"""`leadscore watch`: score changes as they happen."""

import sys
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

from cli.client import Suite, find_suite, sentence_of, sentences
from cli.options import json_option, tenant_option

ROWS_MAX = 200
"""Changes kept for the live table; it shows as many as the terminal is high."""
RECONNECT_S = 1.0
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN)


@click.command("watch")
@click.argument("leads", nargs=-1)
@click.option("--min-score", default=0, type=click.IntRange(0), help="Only changes to or from so many points.")
@click.option("--grades", is_flag=True, help="Only changes of the grade.")
@tenant_option
@json_option
def command(leads: tuple[str, ...], min_score: int, grades: bool, tenant: str | None, as_json: bool) -> None:
    """Shows score changes as they happen, of all leads or of LEADS. Ctrl-C ends it."""
    suite = find_suite(tenant)
    request = query.WatchScoresRequest(lead_ids=leads, min_score=min_score, grade_changes_only=grades)
    with sentences(suite):
        try:
            if as_json or not sys.stdout.isatty():
                _print(suite, request, _as_json if as_json else _as_text)
            else:
                _show(suite, request)
        except KeyboardInterrupt:
            return


def follow(suite: Suite, request: query.WatchScoresRequest) -> Iterator[score_pb2.ScoreUpdate | str]:
    """Updates, for ever; a sentence when the connection is lost. Goes on behind the last update when it is back."""
    first = True
    while True:
        try:
            with suite.channel("query") as channel:
                stub = query_service_pb2_grpc.QueryServiceStub(channel)
                for message in stub.WatchScores(request, metadata=suite.metadata, wait_for_ready=not first):
                    if first or not message.HasField("update"):
                        yield ""
                    first = False
                    request.resume_token = message.resume_token
                    if message.HasField("update"):
                        yield message.update
        except grpc.RpcError as error:
            failed: Any = error
            if first or failed.code() not in AWAY:
                raise
            yield sentence_of(failed, suite)
            time.sleep(RECONNECT_S)


def _print(suite: Suite, request: query.WatchScoresRequest, line: Callable[[score_pb2.ScoreUpdate], str]) -> None:
    for each in follow(suite, request):
        if isinstance(each, str):
            if each:
                click.echo(each, err=True)
        else:
            click.echo(line(each))


def _show(suite: Suite, request: query.WatchScoresRequest) -> None:
    console = Console()
    rows: deque[score_pb2.ScoreUpdate] = deque(maxlen=ROWS_MAX)
    note = "connecting"
    with Live(_table(rows, note, console), console=console, screen=True, refresh_per_second=10) as live:
        for each in follow(suite, request):
            if isinstance(each, str):
                note = each or "live"
            else:
                rows.appendleft(each)
            live.update(_table(rows, note, console))


def _table(rows: deque[score_pb2.ScoreUpdate], note: str, console: Console) -> Table:
    table = Table(title="Score changes as they happen", caption=f"{escape(note)} · Ctrl-C ends", expand=True)
    table.add_column("When", no_wrap=True)
    table.add_column("Lead", ratio=1, no_wrap=True, overflow="ellipsis")
    for name in ("Change", "Score"):
        table.add_column(name, justify="right")
    table.add_column("Grade")
    table.add_column("Cause")
    for update in list(rows)[: max(1, console.height - 6)]:
        delta = update.score - update.previous_score
        colour = "green" if delta > 0 else "red" if delta < 0 else "white"
        when = update.recorded_at.ToDatetime().strftime("%H:%M:%S")
        cause = score_pb2.Cause.Name(update.cause).removeprefix("CAUSE_").lower()
        grade = update.grade if update.grade == update.previous_grade else f"{update.previous_grade}→{update.grade}"
        change = f"[{colour}]{delta:+d}[/]"
        table.add_row(when, escape(update.lead_id), change, str(update.score), grade.lstrip("→"), cause)
    return table


def _as_json(update: score_pb2.ScoreUpdate) -> str:
    return MessageToJson(update, indent=None, always_print_fields_with_no_presence=True)


def _as_text(update: score_pb2.ScoreUpdate) -> str:
    when = update.recorded_at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
    delta = update.score - update.previous_score
    return f"{when}  {delta:+5d}  {update.score:5d}  {update.grade:2}  {update.lead_id}"
