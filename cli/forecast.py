"""`leadscore forecast`: what becomes of a lead's score if nothing happens."""

import click
from leadscore.score.v1 import score_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc
from rich.markup import escape
from rich.table import Table

from cli.client import CALL_DEADLINE_S, find_suite
from cli.options import Lead, json_option, tenant_option
from cli.screen import print_json, screen
from cli.times import day_in_words, to_the_minute

DAYS = 90
DAYS_MAX = 730
GRADE = "grade"
"""The name under which a change of the grade is announced; the sentence says it anyway."""
UNLESS = "if nothing happens"


@click.command("forecast")
@click.argument("lead", type=Lead())
@click.option("--days", default=DAYS, type=click.IntRange(1, DAYS_MAX), help=f"How far ahead; default {DAYS}.")
@tenant_option
@json_option
def command(lead: str, days: int, tenant: str | None, as_json: bool) -> None:
    """Shows every change of LEAD's score that decay or the end of an override will make, if nothing happens."""
    suite = find_suite(tenant)
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.ForecastScoreRequest(lead_id=lead, days=days)
        found = stub.ForecastScore(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        print_json(found)
        return
    console = screen()
    title = f"{escape(found.lead_id)}: {found.score} points, grade {found.grade}"
    console.print(f"[bold]{title}[/]; {escape(sentence(found, days))}", soft_wrap=True, highlight=False)
    if found.steps:
        console.print(steps_table(found))


def sentence(found: scorer.ForecastScoreResponse, days: int) -> str:
    """What matters most of it: when the grade changes, else how far the score goes."""
    if not found.steps:
        return f"nothing changes within {days} days {UNLESS}"
    before = found.score
    for step in found.steps:
        if step.grade != found.grade:
            return f"{_goes(before, step.score)} {found.grade} to {step.grade} on {day_in_words(step.at)} {UNLESS}"
        before = step.score
    last = found.steps[-1]
    return f"keeps its grade for {days} days and is at {last.score} points from {day_in_words(last.at)} on {UNLESS}"


def _goes(before: int, after: int) -> str:
    if before == after:
        return "goes from"
    return "falls from" if after < before else "rises from"


def steps_table(found: scorer.ForecastScoreResponse) -> Table:
    """Each change to come."""
    table = Table(header_style="bold")
    table.add_column("From (UTC)")
    for name in ("Change", "Score", "Engagement", "Fit"):
        table.add_column(name, justify="right")
    for name in ("Grade", "Cause", "Crosses"):
        table.add_column(name)
    before = found.score
    for step in found.steps:
        numbers = (f"{step.score - before:+d}", str(step.score), str(step.engagement), str(step.fit))
        cause = score_pb2.Cause.Name(step.cause).removeprefix("CAUSE_").lower()
        crossed = [f"{each.threshold}: {each.after}" for each in step.crossings if each.threshold != GRADE]
        table.add_row(to_the_minute(step.at), *numbers, step.grade, cause, escape(", ".join(crossed)))
        before = step.score
    return table
