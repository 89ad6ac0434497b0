"""`leadscore analytics`: figures about all leads."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from leadscore.query.v1 import analytics_pb2 as analytics
from leadscore.query.v1 import query_service_pb2_grpc
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.client import CALL_DEADLINE_S, find_suite
from cli.options import Command, Text, json_option, number_option, tenant_option
from cli.screen import print_json, screen
from cli.times import Time, to_the_minute

TYPES_SHOWN = 8
"""Of more types than fit a line, those with most events have a column; the others share one."""
BAR_LENGTH = 40
ORDERS = {"score": analytics.COMPANY_ORDER_TOTAL_SCORE, "leads": analytics.COMPANY_ORDER_LEADS}
STEPS = {"day": analytics.TIME_STEP_DAY, "hour": analytics.TIME_STEP_HOUR}
UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def period_options(command: Command) -> Command:
    """`--from` and `--to`."""
    first = click.option("--from", "first", type=Time(), help="The first day (UTC); default 30 days before the last.")
    last = click.option("--to", "last", type=Time(), help="The last day (UTC); default today.")
    return first(last(tenant_option(json_option(command))))


@click.group("analytics")
def command() -> None:
    """Shows figures about all leads. They cost the same however many leads there are."""


@command.command("activity")
@click.option("--step", default="day", type=click.Choice(list(STEPS)), help="Default: day. Hours: at most 31 days.")
@click.option("--type", "types", multiple=True, type=Text(), help="Only events of this type; may be repeated.")
@period_options
def activity(step: str, types: tuple[str, ...], tenant: str | None, as_json: bool, **period: Timestamp | None) -> None:
    """Shows how many events happened, by day or hour and type."""
    request = analytics.GetActivityRequest(step=STEPS[step], types=types, **_period(**period))
    _show("GetActivity", request, tenant, as_json, lambda found: [activity_table(found, step)])


@command.command("active")
@period_options
def active(tenant: str | None, as_json: bool, **period: Timestamp | None) -> None:
    """Shows how many leads had an event, by day."""
    request = analytics.GetActiveLeadsRequest(**_period(**period))
    _show("GetActiveLeads", request, tenant, as_json, lambda found: [active_table(found)])


@command.command("distribution")
@click.option(
    "--bucket", default=50, type=click.IntRange(10), help="The width of a step, a multiple of 10; default 50."
)
@click.option("--days", "by_day", is_flag=True, help="Also show the grades at the end of each day.")
@period_options
def distribution(bucket: int, by_day: bool, tenant: str | None, as_json: bool, **period: Timestamp | None) -> None:
    """Shows how many leads have which scores and grades."""
    request = analytics.GetDistributionRequest(bucket_points=bucket, **_period(**period))
    _show("GetDistribution", request, tenant, as_json, lambda found: distribution_parts(found, by_day))


@command.command("sources")
@tenant_option
@json_option
def sources(tenant: str | None, as_json: bool) -> None:
    """Shows where events and leads come from."""
    _show("GetSources", analytics.GetSourcesRequest(), tenant, as_json, lambda found: [sources_table(found)])


@command.command("companies")
@number_option("companies")
@click.option("--by", default="score", type=click.Choice(list(ORDERS)), help="Their order; default: sum of scores.")
@tenant_option
@json_option
def companies(number: int, by: str, tenant: str | None, as_json: bool) -> None:
    """Shows the companies with the highest scores, or most leads."""
    request = analytics.GetCompaniesRequest(size=number, order=ORDERS[by])
    _show("GetCompanies", request, tenant, as_json, lambda found: [companies_table(found)])


@command.command("funnel")
@period_options
def funnel(tenant: str | None, as_json: bool, **period: Timestamp | None) -> None:
    """Shows how leads go through the pipeline."""
    request = analytics.GetFunnelRequest(**_period(**period))
    _show("GetFunnel", request, tenant, as_json, funnel_tables)


@command.command("rules")
@tenant_option
@json_option
def rules(tenant: str | None, as_json: bool) -> None:
    """Shows how many points each rule gives to all leads together."""
    request = analytics.GetRuleContributionsRequest()
    _show("GetRuleContributions", request, tenant, as_json, lambda found: [rules_table(found)])


def _show(
    rpc: str, request: Message, tenant: str | None, as_json: bool, parts_of: Callable[[Any], Iterable[Table | str]]
) -> None:
    suite = find_suite(tenant)
    with suite.call("query") as channel:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        found = getattr(stub, rpc)(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        print_json(found)
        return
    console: Console = screen()
    for part in parts_of(found):
        console.print(part, highlight=False)


def _period(first: Timestamp | None, last: Timestamp | None) -> dict[str, Any]:
    return {"from": first, "to": last}


def activity_table(found: analytics.GetActivityResponse, step: str) -> Table:
    """A row for each step with events, a column for each type."""
    of_types: Counter[str] = Counter()
    steps: dict[str, Counter[str]] = defaultdict(Counter)
    for point in found.points:
        of_types[point.type] += point.events
        steps[_when(point.at, step)][point.type] += point.events
    shown = [kind for kind, _ in of_types.most_common(TYPES_SHOWN)]
    others = ["others"] if len(of_types) > len(shown) else []
    table = _table([f"{step.capitalize()} (UTC)"], [*map(_plain, shown), *others, "all"])
    for at, events in steps.items():
        numbers = [events[kind] for kind in shown]
        rest = [events.total() - sum(numbers)] if others else []
        table.add_row(at, *map(str, [*numbers, *rest, events.total()]))
    return table


def active_table(found: analytics.GetActiveLeadsResponse) -> Table:
    """A row for each day with events."""
    table = _table(["Day (UTC)"], ["Leads"], [""])
    most = max((point.leads for point in found.points), default=0)
    for point in found.points:
        table.add_row(_when(point.at, "day"), str(point.leads), _bar(point.leads, most))
    return table


def distribution_parts(found: analytics.GetDistributionResponse, by_day: bool) -> Iterable[Table | str]:
    """How many leads there are, by score, by grade, and if wanted by day and grade."""
    yield f"{found.leads} leads, {found.average_score:.1f} points on average"
    by_score, by_grade = _table([], ["Score from", "Leads"], [""]), _table(["Grade"], ["Leads"], [""])
    most = max((*(each.leads for each in found.scores), *(each.leads for each in found.grades)), default=0)
    for step in found.scores:
        by_score.add_row(str(step.from_score), str(step.leads), _bar(step.leads, most))
    for share in found.grades:
        by_grade.add_row(share.grade, str(share.leads), _bar(share.leads, most))
    yield from (by_score, by_grade)
    if by_day:
        yield grades_table(found.days)


def grades_table(days: Sequence[analytics.DistributionOfDay]) -> Table:
    """A row for each day, a column for each grade."""
    grades = sorted({share.grade for day in days for share in day.grades})
    table = _table(["Day (UTC)"], grades)
    for day in days:
        leads = {share.grade: share.leads for share in day.grades}
        table.add_row(_when(day.day, "day"), *(str(leads.get(grade, 0)) for grade in grades))
    return table


def sources_table(found: analytics.GetSourcesResponse) -> Table:
    """A row for each source."""
    table = _table(["Source"], ["Leads", "Average score", "Events"])
    for each in found.sources:
        table.add_row(_plain(each.source) or "(none)", str(each.leads), f"{each.average_score:.1f}", str(each.events))
    return table


def companies_table(found: analytics.GetCompaniesResponse) -> Table:
    """A row for each company."""
    table = _table(["Company"], ["Leads", "Score together", "Average score"])
    for each in found.companies:
        table.add_row(_plain(each.company), str(each.leads), str(each.total_score), f"{each.average_score:.1f}")
    return table


def funnel_tables(found: analytics.GetFunnelResponse) -> Iterable[Table]:
    """The stages, and the moves between them."""
    stages = _table(["Status"], ["Leads", "Average score", "Reached", "Conversion"])
    for stage in found.stages:
        numbers = (str(stage.leads), f"{stage.average_score:.1f}", str(stage.reached), f"{stage.conversion:.1%}")
        stages.add_row(stage.status, *numbers)
    yield stages
    if found.moves:
        moves = _table(["From", "To"], ["Moves", "After, on average"])
        for move in found.moves:
            moves.add_row(_plain(move.from_status), _plain(move.to_status), str(move.moves), duration(move.average_s))
        yield moves


def rules_table(found: analytics.GetRuleContributionsResponse) -> Table:
    """A row for each line of scores, and their sum, which is that of all scores."""
    table = _table(["Rule"], ["Leads", "Points"])
    for each in found.rules:
        table.add_row(_plain(each.rule), str(each.leads), f"{each.points:+,.10g}")
    table.add_section()
    table.add_row("all scores", "", f"{found.total_score:,}")
    return table


def duration(seconds: float) -> str:
    """A time that something took, in its two largest units: `3 d 4 h`."""
    left, said = round(seconds), list[str]()
    for unit, size in UNITS:
        number, left = divmod(left, size)
        if number or said:
            said.append(f"{number} {unit}" if number else "")
    return " ".join(filter(None, said[:2])) or "0 s"


def _table(texts: Iterable[str], numbers: Iterable[str], bars: Iterable[str] = ()) -> Table:
    table = Table(header_style="bold")
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right")
    for name in bars:
        table.add_column(name)
    return table


def _bar(part: int, most: int) -> str:
    return "█" * max(1, round(BAR_LENGTH * part / most)) if part and most else ""


def _when(at: Timestamp, step: str) -> str:
    return to_the_minute(at)[: len("2027-03-01")] if step == "day" else to_the_minute(at)


def _plain(text: str) -> str:
    """A text that senders chose, without what a terminal takes for a command."""
    return escape("".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text))
