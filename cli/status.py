"""`leadscore status`: where a lead stands in the pipeline."""

import click
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.ingest.v1 import ingest_service_pb2_grpc

from cli.client import CALL_DEADLINE_S, find_suite
from cli.options import Lead, json_option, tenant_option
from cli.screen import print_json

STATUSES = ("new", "contacted", "qualified", "won", "lost")


@click.command("status")
@click.argument("lead", type=Lead())
@click.argument("status", type=click.Choice(STATUSES))
@tenant_option
@json_option
def command(lead: str, status: str, tenant: str | None, as_json: bool) -> None:
    """Says where LEAD stands in the pipeline. A lead that nothing is known of is created."""
    suite = find_suite(tenant)
    with suite.call("ingest") as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        request = ingest.SetLeadStatusRequest(lead_id=lead, status=status)
        answer = stub.SetLeadStatus(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{lead} has status {status}")
