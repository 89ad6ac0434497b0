"""`leadscore explain`: why a lead's score is what it is."""

import click
from google.protobuf.json_format import MessageToJson
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.query.v1 import query_service_pb2_grpc
from leadscore.score.v1 import score_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc
from rich.markup import escape
from rich.table import Table

from cli.client import CALL_DEADLINE_S, find_suite
from cli.options import Lead, json_option, tenant_option
from cli.screen import screen

CHANGES = 10
"""Changes shown below the explanation."""


@click.command("explain")
@click.argument("lead", type=Lead())
@tenant_option
@json_option
def command(lead: str, tenant: str | None, as_json: bool) -> None:
    """Shows why LEAD's score is what it is: every rule and every bound, adding up to the score."""
    suite = find_suite(tenant)
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.ExplainScoreRequest(lead_id=lead)
        why = stub.ExplainScore(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        click.echo(MessageToJson(why, always_print_fields_with_no_presence=True))
        return
    with suite.call("query") as channel:
        reads = query_service_pb2_grpc.QueryServiceStub(channel)
        changes = query.ListHistoryRequest(lead_id=lead, page_size=CHANGES)
        history = reads.ListHistory(changes, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    console = screen()
    title = f"{escape(why.lead_id)}: {why.score} points, grade {why.grade}"
    console.print(f"[bold]{title}[/] (engagement {why.engagement}, fit {why.fit}, model {why.model_version})")
    console.print(why_table(why))
    console.print(history_table(history))


def why_table(why: scorer.ExplainScoreResponse) -> Table:
    """Each line of the score; what a rule would give without its own bounds stands beside what it gives."""
    rules = {rule.rule: rule for rule in why.rules}
    table = Table(header_style="bold", show_footer=True)
    table.add_column("Rule", footer="score")
    for name in ("Events", "Points each", "Unbounded"):
        table.add_column(name, justify="right")
    table.add_column("Points", justify="right", footer=str(why.score))
    for line in why.contributions:
        rule = rules.get(line.rule)
        count = str(line.count) if line.count else ""
        each = f"{rule.points_each:g}" if rule else ""
        raw = f"{rule.raw:+g}" if rule and rule.raw != rule.points else ""
        table.add_row(escape(line.rule), count, each, raw, f"{line.points:+g}")
    return table


def history_table(history: query.ListHistoryResponse) -> Table:
    """The newest rows of the ledger."""
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
