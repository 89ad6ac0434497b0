"""`leadscore model delete`: a draft that is not wanted."""

import click
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from cli.client import CALL_DEADLINE_S, find_suite
from cli.model.versions import VERSION
from cli.options import json_option, tenant_option
from cli.screen import print_json


@click.command("delete")
@click.argument("version", type=VERSION)
@tenant_option
@json_option
def command(version: int, tenant: str | None, as_json: bool) -> None:
    """Throws the draft VERSION away. What was published once stays for ever."""
    suite = find_suite(tenant)
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.DeleteDraftRequest(version=version)
        answer = stub.DeleteDraft(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"draft {version} is gone")
