"""`leadscore erase`: takes away all that is known of a lead."""

import click
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.ingest.v1 import ingest_service_pb2_grpc

from cli.client import CALL_DEADLINE_S, find_suite
from cli.options import Lead, Text, json_option, tenant_option
from cli.screen import print_json


@click.command("erase")
@click.argument("lead", type=Lead())
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--id", "event_id", default="", type=Text(), help="Your number for it; stays in the audit log. Default: made."
)
@tenant_option
@json_option
def command(lead: str, yes: bool, event_id: str, tenant: str | None, as_json: bool) -> None:
    """Erases LEAD: all that is known of it, and its share in all figures. It cannot be taken back.

    What was sent about the lead before does not come back, also if it is sent again; what is sent later begins a new
    lead. The audit log keeps that and by whom it was done, without the lead.
    """
    suite = find_suite(tenant)
    if not yes:
        click.confirm(f"Erase {lead} with its whole history? It cannot be taken back", abort=True, err=True)
    with suite.call("ingest") as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        request = ingest.DeleteLeadRequest(lead_id=lead, event_id=event_id)
        answer = stub.DeleteLead(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{lead} is erased in its turn; the audit log will have it as erasure/{answer.event_id}")
