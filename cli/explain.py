"""`leadscore explain`: why a lead's score is what it is."""

import click
from google.protobuf.json_format import MessageToJson
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.query.v1 import query_service_pb2_grpc
from leadscore.score.v1 import score_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.client import CALL_DEADLINE_S, find_suite, sentences
from cli.options import json_option, tenant_option

CHANGES = 10
"""Changes shown below the explanation."""


@click.command("explain")
@click.argument("lead")
@tenant_option
@json_option
def command(lead: str, tenant: str | None, as_json: bool) -> None:
    """Shows why LEAD's score is what it is: every rule and every bound, adding up to the score."""
    suite = find_suite(tenant)
    with sentences(suite):
        with suite.channel("scorer") as channel:
            stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
            request = scorer.ExplainScoreRequest(lead_id=lead)
            why = stub.ExplainScore(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
        with suite.channel("query") as channel:
            reads = query_service_pb2_grpc.QueryServiceStub(channel)
            changes = query.ListHistoryRequest(lead_id=lead, page_size=CHANGES)
            history = reads.ListHistory(changes, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        click.echo(MessageToJson(why, always_print_fields_with_no_presence=True))
        return
    console = Console()
    title = f"{escape(why.lead_id)}: {why.score} points, grade {why.grade}"
    console.print(f"[bold]{title}[/] (engagement {why.engagement}, fit {why.fit}, model {why.model_version})")
    console.print(_why(why))
    console.print(_history(history))


def _why(why: scorer.ExplainScoreResponse) -> Table:
    each_points = {rule.rule: rule.points_each for rule in why.rules}
    table = Table(header_style="bold", show_footer=True)
    table.add_column("Rule", footer="score")
    table.add_column("Events", justify="right")
    table.add_column("Points each", justify="right")
    table.add_column("Points", justify="right", footer=str(why.score))
    for line in why.contributions:
        count = str(line.count) if line.count else ""
        each = f"{each_points[line.rule]:g}" if line.rule in each_points else ""
        table.add_row(escape(line.rule), count, each, f"{line.points:+g}")
    return table


def _history(history: query.ListHistoryResponse) -> Table:
    table = Table(title="Newest changes", title_justify="left", header_style="bold")
    table.add_column("Recorded (UTC)")
    table.add_column("Cause")
    table.add_column("Change", justify="right")
    table.add_column("Score", justify="right")
    table.add_column("Event", overflow="fold")
    for entry in history.entries:
        cause = entry.type or score_pb2.Cause.Name(entry.cause).removeprefix("CAUSE_").lower()
        when = entry.recorded_at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(when, cause, f"{entry.delta:+d}", str(entry.score_after), escape(entry.event_id))
    return table
