"""`leadscore override`: a score set by hand."""

import click
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from cli.client import CALL_DEADLINE_S, Suite, find_suite
from cli.options import Lead, Text, json_option, tenant_option
from cli.screen import print_json
from cli.times import Time, to_the_minute

SCORE_MAX = 1_000_000


@click.command("override")
@click.argument("lead", type=Lead())
@click.argument("score", type=click.IntRange(0, SCORE_MAX), required=False)
@click.option("--reason", type=Text(), help="Why; kept with the score and in the audit log.")
@click.option("--until", type=Time(), help="When it ends, in UTC. Default: when it is taken back.")
@click.option("--clear", is_flag=True, help="Take the override back.")
@tenant_option
@json_option
def command(
    lead: str,
    score: int | None,
    reason: str | None,
    until: Timestamp | None,
    clear: bool,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Sets LEAD's score to SCORE by hand, or takes that back with --clear.

    The machine's score goes on beside it, and is the score again when the override ends.
    """
    suite = find_suite(tenant)
    if clear:
        if (score, reason, until) != (None, None, None):
            raise click.UsageError("--clear stands alone: it takes no score, reason or end")
        answer, said = _clear(suite, lead), f"{lead} has the machine's score"
    elif score is None or not reason:
        raise click.UsageError("name a score and a --reason, or take the override back with --clear")
    else:
        ends = f"until {to_the_minute(until)} UTC" if until is not None else "until it is taken back"
        answer, said = _set(suite, lead, score, reason, until), f"{lead} is held at {score:,} points {ends}"
    if as_json:
        print_json(answer)
    else:
        click.echo(said)


def _set(suite: Suite, lead: str, score: int, reason: str, until: Timestamp | None) -> Message:
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.OverrideScoreRequest(lead_id=lead, score=score, reason=reason, until=until)
        return stub.OverrideScore(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)


def _clear(suite: Suite, lead: str) -> Message:
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.ClearOverrideRequest(lead_id=lead)
        return stub.ClearOverride(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
