"""`leadscore model publish`: the version by which leads are scored."""

import click
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from cli.client import CALL_DEADLINE_S, Suite, find_suite
from cli.model.versions import VERSION
from cli.operations import follow
from cli.options import json_option, tenant_option
from cli.screen import print_json


@click.command("publish")
@click.argument("version", type=VERSION)
@click.option("--rescore", is_flag=True, help="Score all leads anew by it, and show the progress.")
@tenant_option
@json_option
def command(version: int, rescore: bool, tenant: str | None, as_json: bool) -> None:
    """Makes VERSION, a draft or a retired one, the one by which leads are scored.

    Without --rescore each lead goes over to it with its next fact, and keeps its score until then.
    """
    publish(find_suite(tenant), version, rescore=rescore, as_json=as_json)


def publish(suite: Suite, version: int, revision: int = 0, *, rescore: bool, as_json: bool) -> None:
    """Publishes a version (of a draft only this revision, if it is not 0), and shows the rescore if there is one."""
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.PublishModelRequest(version=version, revision=revision, rescore=rescore)
        answer = stub.PublishModel(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    is_rescored = answer.HasField("operation")
    if as_json and not is_rescored:
        print_json(answer)
    elif not as_json:
        click.echo(f"version {version} is published; {_what_follows(is_rescored)}")
    if is_rescored:
        follow(suite, answer.operation, as_json=as_json)


def _what_follows(is_rescored: bool) -> str:
    return "all leads are scored anew" if is_rescored else "each lead goes over to it with its next fact"
