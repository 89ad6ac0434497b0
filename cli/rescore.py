"""`leadscore rescore`: all leads anew from their whole history."""

import click
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from cli.client import CALL_DEADLINE_S, find_suite
from cli.operations import follow, tell
from cli.options import json_option, tenant_option


@click.command("rescore")
@click.option("--detach", is_flag=True, help="Do not wait for its end.")
@tenant_option
@json_option
def command(detach: bool, tenant: str | None, as_json: bool) -> None:
    """Scores every lead anew from its whole history by the published model.

    It runs in the background; live events are scored meanwhile. Shows the progress until it is done; Ctrl-C stops the
    showing, not the rescore. A rescore that is under way is superseded.
    """
    suite = find_suite(tenant)
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        begun = stub.Rescore(scorer.RescoreRequest(), timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if detach:
        tell(begun, as_json=as_json)
    else:
        follow(suite, begun, as_json=as_json)
