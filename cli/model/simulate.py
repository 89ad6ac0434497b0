"""`leadscore model simulate`: what a version would change."""

from collections.abc import Sequence

import click
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.client import Suite, find_suite
from cli.model.versions import VERSION
from cli.options import json_option, tenant_option
from cli.screen import leads_bar, print_json, screen

MOVERS = 10
MOVERS_MAX = 100
STEP = 50
POINTS_MAX = 1_000_000
BAR_WIDTH = 30
"""The longest bar of a distribution, in characters."""
LINES_MAX = 5
"""Lines of a mover's explanation; the others are summed up."""
NAMED_MAX = 3
"""Leads named for each move between grades; --json has more."""


@click.command("simulate")
@click.argument("version", type=VERSION)
@click.option("--movers", default=MOVERS, type=click.IntRange(1, MOVERS_MAX), help=f"How many; default {MOVERS}.")
@click.option(
    "--step", default=STEP, type=click.IntRange(1, POINTS_MAX), help=f"Of distributions; default {STEP} points."
)
@tenant_option
@json_option
def command(version: int, movers: int, step: int, tenant: str | None, as_json: bool) -> None:
    """Tries VERSION on the whole history of all leads and changes nothing.

    Shows how the scores move, who enters and leaves each grade, and the largest movers with the reason.
    """
    request = scorer.SimulateRequest(version=version, movers=movers, bucket_points=step)
    report = _simulated(find_suite(tenant), request)
    if as_json:
        print_json(report)
    else:
        show(report, step, screen())


def _simulated(suite: Suite, request: scorer.SimulateRequest) -> scorer.SimulationReport:
    """The report. There is no deadline: how long it takes depends on the history, and the bar shows that it goes on."""
    with suite.call("scorer") as channel, leads_bar("simulating") as bar:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        for answer in stub.Simulate(request, metadata=suite.metadata):
            bar.update(bar.task_ids[0], completed=answer.leads_done, total=answer.leads_total)
            if answer.HasField("report"):
                return answer.report
    raise click.ClickException("the simulation ended without a report; try it again")


def show(report: scorer.SimulationReport, step: int, console: Console) -> None:
    """Prints a report."""
    same = report.leads - report.up - report.down
    averages = f"average {report.average_before:.1f} → {report.average_after:.1f} points"
    moved = f"{report.up:,} would rise, {report.down:,} would fall, {same:,} would stay"
    console.print(f"[bold]version {report.version}[/]: {report.leads:,} leads, {moved}; {averages}", highlight=False)
    console.print(scores_table(report.scores, step))
    console.print(grades_table(report.grades))
    if report.moves:
        console.print(moves_table(report.moves))
    for title, movers in (("Rising most", report.risers), ("Falling most", report.fallers)):
        if movers:
            console.print(movers_table(title, movers))


def scores_table(scores: Sequence[scorer.ScoreBucket], step: int) -> Table:
    """Leads by score, before and after."""
    table = _table("Scores", ("Points",), ("Before", "After", "Change"))
    table.add_column("")
    most = max((max(bucket.before, bucket.after) for bucket in scores), default=0)
    for bucket in scores:
        points = f"{bucket.from_score}-{bucket.from_score + step - 1}" if step > 1 else str(bucket.from_score)
        bar = "█" * round(BAR_WIDTH * bucket.after / most) if most else ""
        change = bucket.after - bucket.before
        table.add_row(points, f"{bucket.before:,}", f"{bucket.after:,}", f"{change:+,}" if change else "", bar)
    return table


def grades_table(grades: Sequence[scorer.GradeCount]) -> Table:
    """Leads by grade, and who would get it or lose it."""
    table = _table("Grades", ("Grade",), ("Before", "After", "Entering", "Leaving"))
    for each in grades:
        numbers = (each.before, each.after, each.entering, each.leaving)
        table.add_row(escape(each.grade), *(f"{number:,}" for number in numbers))
    return table


def moves_table(moves: Sequence[scorer.GradeMove]) -> Table:
    """From which grade to which."""
    table = _table("Moves between grades", ("From", "To"), ("Leads",))
    table.add_column("Such as", overflow="fold")
    for move in moves:
        named = ", ".join(move.lead_ids[:NAMED_MAX])
        table.add_row(escape(move.before), escape(move.after), f"{move.leads:,}", escape(named))
    return table


def movers_table(title: str, movers: Sequence[scorer.Mover]) -> Table:
    """The leads that move the furthest, and which lines move them."""
    table = _table(title, ("Lead",), ("Score", "Change"))
    table.add_column("Grade")
    table.add_column("Because of", overflow="fold")
    for mover in movers:
        score = f"{mover.score_before} → {mover.score_after}"
        is_same = mover.grade_before == mover.grade_after
        grade = mover.grade_after if is_same else f"{mover.grade_before} → {mover.grade_after}"
        change = f"{mover.score_after - mover.score_before:+d}"
        table.add_row(escape(mover.lead_id), score, change, escape(grade), escape(_why(mover)))
    return table


def _why(mover: scorer.Mover) -> str:
    lines = sorted(mover.contributions, key=lambda line: -abs(line.points))
    shown = [f"{line.rule} {_rounded(line.points)}" for line in lines[:LINES_MAX]]
    if len(lines) > LINES_MAX:
        rest = sum(line.points for line in lines[LINES_MAX:])
        shown.append(f"{len(lines) - LINES_MAX} others {_rounded(rest)}")
    return ", ".join(shown)


def _rounded(points: float) -> str:
    return f"{round(points, 2):+g}"


def _table(title: str, texts: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right")
    return table
