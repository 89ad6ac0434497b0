"""`leadscore model push`: a file as a draft."""

from pathlib import Path

import click
import grpc
from leadscore.model.v1 import model_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from cli.client import CALL_DEADLINE_S, Suite, find_suite
from cli.model.faults import Refused, faults_as_json, faults_in
from cli.model.files import PATH, ModelFile, read_file
from cli.model.publish import publish
from cli.model.versions import VERSION
from cli.options import Text, json_option, tenant_option
from cli.screen import print_json


@click.command("push")
@click.argument("file", type=PATH)
@click.option("--comment", default="", type=Text(), help="What the change is about; a draft keeps the one it has.")
@click.option("--draft", type=VERSION, help="Edit this draft. Default: make a new one.")
@click.option("--revision", default=0, type=click.IntRange(0), help="With --draft: only if it is still at this one.")
@click.option("--publish", "is_published", is_flag=True, help="Score leads by it from now on.")
@click.option("--rescore", is_flag=True, help="With --publish: score all leads anew, and show the progress.")
@tenant_option
@json_option
def command(
    file: Path,
    comment: str,
    draft: int | None,
    revision: int,
    is_published: bool,
    rescore: bool,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Makes a draft of FILE (YAML, or JSON if its name ends so) and prints its version.

    A file with faults is refused with all of them and exit code 1; nothing is kept then.
    """
    if rescore and not is_published:
        raise click.UsageError("--rescore needs --publish: leads are scored by the published version")
    if revision and draft is None:
        raise click.UsageError("--revision needs --draft: a new draft has no revision yet")
    with faults_as_json(as_json):
        model_file, suite = read_file(file), find_suite(tenant)
        model = _send(suite, model_file, comment, draft, revision)
    if is_published:
        publish(suite, model.version, model.revision, rescore=rescore, as_json=as_json)
    elif as_json:
        print_json(model)
    else:
        said = f"version {model.version} is a draft at revision {model.revision}"
        click.echo(f"{said}; `leadscore model simulate {model.version}` tries it")


def _send(suite: Suite, file: ModelFile, comment: str, draft: int | None, revision: int) -> model_pb2.Model:
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        try:
            if draft is None:
                creation = scorer.CreateDraftRequest(definition=file.definition, comment=comment)
                return stub.CreateDraft(creation, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
            edit = scorer.UpdateDraftRequest(
                version=draft, definition=file.definition, revision=revision, comment=comment
            )
            return stub.UpdateDraft(edit, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
        except grpc.RpcError as error:
            if faults := faults_in(error, file.lines):
                raise Refused(file.name, faults) from None
            raise
