"""`leadscore quarantine`: the events that were set apart."""

import click
from google.protobuf.json_format import MessageToJson
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc
from rich.markup import escape
from rich.table import Table

from cli.client import CALL_DEADLINE_S, find_suite
from cli.options import json_option, tenant_option
from cli.screen import screen

ITEMS_MAX = 1_000
"""One page."""


@click.command("quarantine")
@click.option("-n", "--number", default=50, type=click.IntRange(1, ITEMS_MAX), help="How many events; default 50.")
@tenant_option
@json_option
def command(number: int, tenant: str | None, as_json: bool) -> None:
    """Shows the events that were set apart, newest first: ids with two contents, and what could not be processed."""
    suite = find_suite(tenant)
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.ListQuarantineRequest(page_size=number)
        answer = stub.ListQuarantine(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        click.echo(MessageToJson(answer, always_print_fields_with_no_presence=True))
        return
    table = Table(header_style="bold", caption="there are more" if answer.next_page_token else None)
    for name in ("Event", "Lead", "Reason", "Stands with"):
        table.add_column(name, overflow="fold")
    for item in answer.items:
        reason = scorer.QuarantineReason.Name(item.reason).removeprefix("QUARANTINE_REASON_").lower()
        table.add_row(escape(item.event_id), escape(item.lead_id), reason, escape(item.standing_lead_id))
    screen().print(table)
