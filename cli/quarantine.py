"""`leadscore quarantine`: the events that were set apart, and what is decided about them."""

from collections.abc import Callable
from typing import Any

import click
import grpc
from google.protobuf.message import Message
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc
from rich.markup import escape
from rich.table import Table

from cli.client import CALL_DEADLINE_S, find_suite
from cli.groups import Listing
from cli.options import Command, Text, json_option, number_option, tenant_option
from cli.screen import on_one_line, print_json, print_json_list, screen
from cli.times import to_the_second

STATES = {
    "held": scorer.QUARANTINE_STATE_HELD,
    "released": scorer.QUARANTINE_STATE_RELEASED,
    "dropped": scorer.QUARANTINE_STATE_DROPPED,
}


@click.group("quarantine", cls=Listing)
def command() -> None:
    """Shows the events that were set apart, and decides about them.

    Set apart are events whose id was taken by other content, and what could not be processed.
    """


@command.command("list")
@number_option("events")
@click.option("--state", default="held", type=click.Choice(list(STATES)), help="Which; default: held ones.")
@tenant_option
@json_option
def list_(number: int, state: str, tenant: str | None, as_json: bool) -> None:
    """Lists the events that were set apart, newest first. Runs if no other command is named."""
    suite = find_suite(tenant)
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.ListQuarantineRequest(page_size=number, state=STATES[state])
        answer = stub.ListQuarantine(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        print_json(answer)
    else:
        screen().print(items_table(answer))


@command.command("show")
@click.argument("item_id", type=click.IntRange(1))
@tenant_option
@json_option
def show(item_id: int, tenant: str | None, as_json: bool) -> None:
    """Shows all that is known of one event that was set apart."""
    suite = find_suite(tenant)
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.GetQuarantinedRequest(item_id=item_id)
        item = stub.GetQuarantined(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
    if as_json:
        print_json(item)
    else:
        screen().print(item_table(item))


def decision(command: Command) -> Command:
    """What both decisions take."""
    items = click.argument("item_ids", type=click.IntRange(1), nargs=-1, required=True, metavar="ITEM_ID...")
    note = click.option("--note", default="", type=Text(), help="Why; kept with the event and in the audit log.")
    return items(note(tenant_option(json_option(command))))


@command.command("release")
@decision
def release(item_ids: tuple[int, ...], note: str, tenant: str | None, as_json: bool) -> None:
    """Counts events after all: a conflict under an id of its own, another under the id that it has. Safe to repeat."""

    def one(stub: Any, item_id: int, **call: Any) -> tuple[Message, str]:
        request = scorer.ReleaseQuarantinedRequest(item_id=item_id, note=note)
        answer = stub.ReleaseQuarantined(request, **call)
        return answer, f"item {item_id} counts as event {answer.event_id}"

    _decide(item_ids, one, tenant, as_json)


@command.command("drop")
@decision
def drop(item_ids: tuple[int, ...], note: str, tenant: str | None, as_json: bool) -> None:
    """Decides that events will not count. They are kept, so that their repeats are known. Safe to repeat."""

    def one(stub: Any, item_id: int, **call: Any) -> tuple[Message, str]:
        request = scorer.DropQuarantinedRequest(item_id=item_id, note=note)
        return stub.DropQuarantined(request, **call), f"item {item_id} will not count"

    _decide(item_ids, one, tenant, as_json)


def _decide(
    item_ids: tuple[int, ...], one: Callable[..., tuple[Message, str]], tenant: str | None, as_json: bool
) -> None:
    """Decides about one item after the other. One that cannot be decided holds up no other; the exit code is 1 then."""
    suite, decided, failed = find_suite(tenant), [], 0
    with suite.channel("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        for item_id in item_ids:
            try:
                answer, said = one(stub, item_id, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
            except grpc.RpcError as error:
                failed += 1
                click.echo(f"Error: item {item_id}: {suite.sentence(error, 'scorer')}", err=True)
                continue
            decided.append(answer)
            if not as_json:
                click.echo(said)
    if as_json:
        print_json_list(decided)
    if failed:
        raise SystemExit(1)


def items_table(answer: scorer.ListQuarantineResponse) -> Table:
    """The items as a table."""
    table = Table(header_style="bold", caption="there are more" if answer.next_page_token else None)
    table.add_column("Item", justify="right")
    for name in ("State", "Event", "Lead", "Reason", "Stands with"):
        table.add_column(name, overflow="fold")
    for item in answer.items:
        texts = (item.event_id, item.lead_id, reason_of(item), item.standing_lead_id)
        table.add_row(str(item.item_id), state_of(item), *map(escape, texts))
    return table


def item_table(item: scorer.QuarantinedEvent) -> Table:
    """All of one item; what is not known is left out."""
    rows = {
        "Item": str(item.item_id),
        "State": state_of(item),
        "Kind": item.kind,
        "Event": item.event_id,
        "Lead": item.lead_id,
        "Type": item.type,
        "Occurred (UTC)": to_the_second(item.occurred_at),
        "Source": item.source,
        "Properties": on_one_line(item.properties),
        "Reason": f"{reason_of(item)}: {item.detail}" if item.detail else reason_of(item),
        "Stands with": item.standing_lead_id,
        "Set apart (UTC)": to_the_second(item.quarantined_at),
        "Decided (UTC)": to_the_second(item.decided_at),
        "Decided by": item.decided_by,
        "Note": item.note,
        "Counts as": item.released_event_id,
    }
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            table.add_row(name, escape(value))
    return table


def reason_of(item: scorer.QuarantinedEvent) -> str:
    """Conflict or poison."""
    return scorer.QuarantineReason.Name(item.reason).removeprefix("QUARANTINE_REASON_").lower()


def state_of(item: scorer.QuarantinedEvent) -> str:
    """Held, released or dropped."""
    return (
        scorer.QuarantineState.Name(item.state or scorer.QUARANTINE_STATE_HELD)
        .removeprefix("QUARANTINE_STATE_")
        .lower()
    )
