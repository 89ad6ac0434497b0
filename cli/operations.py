"""`leadscore operations`: rescores in the background, how far they are, and stopping them."""

import time

import click
import grpc
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc
from rich.markup import escape
from rich.table import Table

from cli.client import CALL_DEADLINE_S, Suite, find_suite
from cli.groups import Listing
from cli.options import json_option, number_option, tenant_option
from cli.screen import leads_bar, print_json, screen
from cli.times import to_the_second

LOOK_INTERVAL_S = 0.5
"""How often an operation is looked at."""
AWAY_S_MAX = 60.0
"""An operation goes on after a restart of the scorer; so does looking at it, for so long."""
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


@click.group("operations", cls=Listing)
def command() -> None:
    """Shows rescores, newest first, or one of them, or stops one."""


@command.command("list")
@number_option("operations")
@tenant_option
@json_option
def list_(number: int, tenant: str | None, as_json: bool) -> None:
    """Lists the operations, newest first. Runs if no other command is named."""
    suite = find_suite(tenant)
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.ListOperationsRequest(page_size=number)
        answer = stub.ListOperations(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        print_json(answer)
    else:
        screen().print(operations_table(answer))


@command.command("show")
@click.argument("operation_id", type=click.IntRange(1), metavar="ID")
@tenant_option
@json_option
def show(operation_id: int, tenant: str | None, as_json: bool) -> None:
    """Shows how far an operation is."""
    suite = find_suite(tenant)
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.GetOperationRequest(operation_id=operation_id)
        found = stub.GetOperation(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    tell(found, as_json=as_json)


@command.command("cancel")
@click.argument("operation_id", type=click.IntRange(1), metavar="ID")
@tenant_option
@json_option
def cancel(operation_id: int, tenant: str | None, as_json: bool) -> None:
    """Stops an operation. Leads that are done stay so; the others keep their scores until their next fact."""
    suite = find_suite(tenant)
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.CancelOperationRequest(operation_id=operation_id)
        found = stub.CancelOperation(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    tell(found, as_json=as_json)


def follow(suite: Suite, begun: scorer.Operation, *, as_json: bool) -> None:
    """Shows an operation's progress until it has ended. Exit code 1 if it was stopped before its end."""
    try:
        ended = _until_ended(suite, begun)
    except KeyboardInterrupt:
        said = f"it goes on in the background; `leadscore operations show {begun.operation_id}` says how far it is"
        raise click.ClickException(said) from None
    tell(ended, as_json=as_json)
    if ended.state == scorer.OPERATION_STATE_CANCELLED:
        raise SystemExit(1)


def tell(operation: scorer.Operation, *, as_json: bool) -> None:
    """Prints an operation."""
    if as_json:
        print_json(operation)
    else:
        click.echo(sentence(operation))


def sentence(operation: scorer.Operation) -> str:
    """An operation in a sentence."""
    done = f"{operation.leads_done:,} of {operation.leads_total:,} leads, {operation.leads_changed:,} scores changed"
    return f"operation {operation.operation_id}, model {operation.model_version}: {state_of(operation)}, {done}"


def state_of(operation: scorer.Operation) -> str:
    """Running, done or cancelled."""
    return scorer.OperationState.Name(operation.state).removeprefix("OPERATION_STATE_").lower()


def operations_table(answer: scorer.ListOperationsResponse) -> Table:
    """Operations as a table."""
    table = Table(header_style="bold", caption="there are more" if answer.next_page_token else None)
    table.add_column("Operation", justify="right")
    table.add_column("State")
    for name in ("Model", "Leads", "Done", "Changed"):
        table.add_column(name, justify="right")
    for name in ("Begun (UTC)", "By", "Ended (UTC)"):
        table.add_column(name, overflow="fold")
    for each in answer.operations:
        numbers = (each.model_version, each.leads_total, each.leads_done, each.leads_changed)
        times = (to_the_second(each.created_at), escape(each.created_by), to_the_second(each.ended_at))
        table.add_row(str(each.operation_id), state_of(each), *map(str, numbers), *times)
    return table


def _until_ended(suite: Suite, operation: scorer.Operation) -> scorer.Operation:
    request = scorer.GetOperationRequest(operation_id=operation.operation_id)
    answered = time.monotonic()
    with suite.call("scorer") as channel, leads_bar("scoring anew") as bar:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        while operation.state == scorer.OPERATION_STATE_RUNNING:
            total = max(operation.leads_total, operation.leads_done)
            bar.update(bar.task_ids[0], completed=operation.leads_done, total=total)
            time.sleep(LOOK_INTERVAL_S)
            try:
                operation = stub.GetOperation(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
                answered = time.monotonic()
            except grpc.RpcError as error:
                if error.code() not in PASSING or time.monotonic() > answered + AWAY_S_MAX:
                    raise
    return operation
