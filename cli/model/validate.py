"""`leadscore model validate`: what is wrong with a file."""

import json
from pathlib import Path

import click
import grpc
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from cli.client import CALL_DEADLINE_S, Suite, find_suite
from cli.model.definition import Fault
from cli.model.faults import Refused, fault_at, faults_as_json, faults_in
from cli.model.files import PATH, ModelFile, read_file
from cli.options import json_option, tenant_option


@click.command("validate")
@click.argument("file", type=PATH)
@tenant_option
@json_option
def command(file: Path, tenant: str | None, as_json: bool) -> None:
    """Checks FILE and keeps nothing: all faults by field and line, or none. Exit code 1 if there are some."""
    with faults_as_json(as_json):
        model_file = read_file(file)
        if faults := _faults(find_suite(tenant), model_file):
            raise Refused(model_file.name, faults)
    if as_json:
        click.echo(json.dumps({"faults": []}))
    else:
        definition = model_file.definition
        click.echo(f"{file} is good; rules: {len(definition.rules)}, criteria: {len(definition.criteria)}")


def _faults(suite: Suite, file: ModelFile) -> list[Fault]:
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.ValidateModelRequest(definition=file.definition)
        try:
            answer = stub.ValidateModel(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
        except grpc.RpcError as error:
            # The contract's own rules (sizes, shapes of names) are held against a request before its handler sees it.
            if faults := faults_in(error, file.lines):
                return faults
            raise
    return [fault_at(each.field, each.description, file.lines) for each in answer.faults]
