"""`leadscore top`: the leaderboard."""

import click
from google.protobuf.json_format import MessageToJson
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.query.v1 import query_service_pb2_grpc
from rich.markup import escape
from rich.table import Table

from cli.client import CALL_DEADLINE_S, find_suite
from cli.options import json_option, tenant_option
from cli.screen import screen

LEADS_MAX = 1_000
"""One page of the leaderboard."""


@click.command("top")
@click.option("-n", "--number", default=20, type=click.IntRange(1, LEADS_MAX), help="How many leads; default 20.")
@tenant_option
@json_option
def command(number: int, tenant: str | None, as_json: bool) -> None:
    """Shows the leaderboard."""
    suite = find_suite(tenant)
    with suite.call("query") as channel:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        request = query.ListLeaderboardRequest(page_size=number)
        board = stub.ListLeaderboard(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        click.echo(MessageToJson(board, always_print_fields_with_no_presence=True))
    else:
        screen().print(leaderboard_table(board))


def leaderboard_table(board: query.ListLeaderboardResponse) -> Table:
    """The leaderboard as a table."""
    table = Table(caption=f"{len(board.entries)} of {board.total_leads} leads", header_style="bold")
    table.add_column("Rank", justify="right")
    table.add_column("Lead", overflow="fold")
    table.add_column("Grade")
    for name in ("Score", "Engagement", "Fit"):
        table.add_column(name, justify="right")
    for entry in board.entries:
        numbers = (entry.score, entry.engagement, entry.fit)
        table.add_row(str(entry.rank), escape(entry.lead_id), entry.grade, *map(str, numbers))
    return table
