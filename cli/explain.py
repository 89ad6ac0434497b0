"""`leadscore explain`: why a lead's score is what it is, or was at a time."""

import click
from google.protobuf.timestamp_pb2 import Timestamp
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.query.v1 import query_service_pb2_grpc
from leadscore.score.v1 import score_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc
from rich.markup import escape
from rich.table import Table

from cli.client import CALL_DEADLINE_S, Suite, find_suite
from cli.options import Lead, json_option, tenant_option
from cli.screen import print_json, screen
from cli.times import Time, to_the_minute, to_the_second

PART_OF_A_POINT = 1 / 1024
"""Points are whole multiples of it; being rounded to one is no bound."""
CHANGES = 10
"""Changes shown below the explanation."""


@click.command("explain")
@click.argument("lead", type=Lead())
@click.option("--as-of", type=Time(), help="The score at this time, in UTC, from the facts that had happened by then.")
@click.option("--model", "version", default=0, type=click.IntRange(0), help="With --as-of: by this version.")
@tenant_option
@json_option
def command(lead: str, as_of: Timestamp | None, version: int, tenant: str | None, as_json: bool) -> None:
    """Shows why LEAD's score is what it is: every rule and every bound, adding up to the score."""
    if version and as_of is None:
        raise click.UsageError("--model needs --as-of: the stored score is by the model that made it")
    suite = find_suite(tenant)
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.ExplainScoreRequest(lead_id=lead, as_of=as_of, model_version=version)
        why = stub.ExplainScore(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        print_json(why)
        return
    # Of a time that is past, the newest changes say nothing.
    history = _history(suite, lead) if as_of is None else None
    console = screen()
    console.print(heading(why, as_of), soft_wrap=True)
    console.print(why_table(why))
    if history is not None:
        console.print(history_table(history))


def _history(suite: Suite, lead: str) -> query.ListHistoryResponse:
    with suite.call("query") as channel:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        request = query.ListHistoryRequest(lead_id=lead, page_size=CHANGES)
        return stub.ListHistory(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)


def heading(why: scorer.ExplainScoreResponse, as_of: Timestamp | None) -> str:
    """The score, its parts, and who set it, if somebody did."""
    when = f" as of {to_the_minute(as_of)} UTC" if as_of is not None else ""
    title = f"[bold]{escape(why.lead_id)}: {why.score} points, grade {why.grade}[/]{when}"
    lines = [f"{title} (engagement {why.engagement}, fit {why.fit}, model {why.model_version})"]
    if why.HasField("override"):
        held = why.override
        until = f" until {to_the_minute(held.until)} UTC" if held.HasField("until") else ""
        by = f" by {held.actor}" if held.actor else ""
        machine = f"the model gives {why.machine_score}"
        lines.append(escape(f"Set by hand{by}{until} to {held.score}: {held.reason}; {machine}"))
    return "\n".join(lines)


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
        each = f"{rule.points_each:g}" if rule else ""
        raw = f"{rule.raw:+g}" if rule and abs(rule.raw - rule.points) > PART_OF_A_POINT else ""
        table.add_row(escape(line.rule), _count(line, rule), each, raw, f"{line.points:+g}")
    return table


def _count(line: score_pb2.Contribution, rule: scorer.RuleExplanation | None) -> str:
    """The events that count; of more that the rule has seen, its frequency limit let only these."""
    if rule and rule.matched > line.count:
        return f"{line.count} of {rule.matched}"
    return str(line.count) if line.count else ""


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
        when = to_the_second(entry.recorded_at)
        table.add_row(when, cause, f"{entry.delta:+d}", str(entry.score_after), escape(entry.event_id))
    return table
