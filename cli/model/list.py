"""`leadscore model list`: all versions."""

import click
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc
from rich.markup import escape
from rich.table import Table

from cli.client import CALL_DEADLINE_S, find_suite
from cli.model.versions import state_of
from cli.options import json_option, number_option, tenant_option
from cli.screen import print_json, screen
from cli.times import to_the_second


@click.command("list")
@number_option("versions")
@tenant_option
@json_option
def command(number: int, tenant: str | None, as_json: bool) -> None:
    """Shows the versions of the model, newest first."""
    suite = find_suite(tenant)
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.ListModelsRequest(page_size=number)
        answer = stub.ListModels(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        print_json(answer)
    else:
        screen().print(versions_table(answer))


def versions_table(answer: scorer.ListModelsResponse) -> Table:
    """The versions as a table; by whom and when is of the last edit, or of the publishing if that was later."""
    table = Table(header_style="bold", caption="there are more" if answer.next_page_token else None)
    table.add_column("Version", justify="right")
    table.add_column("State")
    for name in ("Comment", "By", "When (UTC)"):
        table.add_column(name, overflow="fold")
    for model in answer.models:
        edits = [(model.created_at, model.created_by), (model.updated_at, model.updated_by)]
        edits.append((model.published_at, model.published_by))
        when, who = max(edits, key=lambda edit: (edit[0].seconds, edit[0].nanos))
        colour = "green" if model.version == answer.published_version else "default"
        state = f"[{colour}]{state_of(model)}[/]"
        table.add_row(str(model.version), state, escape(model.comment), escape(who), to_the_second(when))
    return table
