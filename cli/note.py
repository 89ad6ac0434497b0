"""`leadscore note`: a note about a lead."""

import click
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.ingest.v1 import ingest_service_pb2_grpc

from cli.client import CALL_DEADLINE_S, find_suite
from cli.options import Lead, Text, json_option, tenant_option
from cli.screen import print_json


@click.command("note")
@click.argument("lead", type=Lead())
@click.argument("text", type=Text())
@click.option("--author", default="", type=Text(), help="Who wrote it.")
@tenant_option
@json_option
def command(lead: str, text: str, author: str, tenant: str | None, as_json: bool) -> None:
    """Adds a note to LEAD. Notes are never changed. A lead that nothing is known of is created."""
    suite = find_suite(tenant)
    with suite.call("ingest") as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        request = ingest.AddNoteRequest(lead_id=lead, text=text, author=author)
        answer = stub.AddNote(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"the note is kept with {lead} as {answer.event_id}")
