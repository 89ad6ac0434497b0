"""`leadscore audit`: who changed what."""

import click
from leadscore.admin.v1 import admin_service_pb2 as admin
from leadscore.admin.v1 import admin_service_pb2_grpc
from rich.markup import escape
from rich.table import Table

from cli.client import CALL_DEADLINE_S, find_suite
from cli.options import Text, json_option, number_option, tenant_option
from cli.screen import on_one_line, print_json, screen
from cli.times import to_the_second


@click.command("audit")
@number_option("entries")
@click.option("--subject", default="", type=Text(), help='Only about this: "model/3", "lead/ada", "quarantine/17".')
@tenant_option
@json_option
def command(number: int, subject: str, tenant: str | None, as_json: bool) -> None:
    """Shows who changed what, newest first: models, rescores, overrides, decisions about events set apart."""
    suite = find_suite(tenant)
    # The scorer is what hosts the audit log.
    with suite.call("scorer") as channel:
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        request = admin.ListAuditRequest(page_size=number, subject=subject)
        answer = stub.ListAudit(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        print_json(answer)
    else:
        screen().print(audit_table(answer))


def audit_table(answer: admin.ListAuditResponse) -> Table:
    """The entries as a table."""
    table = Table(header_style="bold", caption="there are more" if answer.next_page_token else None)
    for name in ("When (UTC)", "Who", "What", "To what", "Particulars"):
        table.add_column(name, overflow="fold")
    for entry in answer.entries:
        texts = (entry.actor, entry.action, entry.subject, on_one_line(entry.details))
        table.add_row(to_the_second(entry.at), *map(escape, texts))
    return table
