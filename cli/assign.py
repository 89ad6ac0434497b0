"""`leadscore assign`: who takes care of a lead."""

import click
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.ingest.v1 import ingest_service_pb2_grpc

from cli.client import CALL_DEADLINE_S, find_suite
from cli.options import Lead, Text, json_option, tenant_option
from cli.screen import print_json


@click.command("assign")
@click.argument("lead", type=Lead())
@click.argument("owner", type=Text())
@tenant_option
@json_option
def command(lead: str, owner: str, tenant: str | None, as_json: bool) -> None:
    """Says who takes care of LEAD: a name, an e-mail, an id; "" for nobody.

    A lead that nothing is known of is created.
    """
    suite = find_suite(tenant)
    with suite.call("ingest") as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        request = ingest.AssignLeadRequest(lead_id=lead, owner=owner)
        answer = stub.AssignLead(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{owner or 'nobody'} takes care of {lead}")
