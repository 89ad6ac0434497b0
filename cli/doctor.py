"""`leadscore doctor`: what is wrong with a running suite, and what to do."""

from dataclasses import dataclass
from typing import Any

import click
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.client import CALL_DEADLINE_S, Suite, find_suite, sentence_of
from cli.options import tenant_option

HEALTH_TIMEOUT_S = 3.0
LAG_S_MAX = 10.0
"""A scorer that is this far behind is not keeping up."""
SERVICES = {"ingest": "IngestService", "scorer": "ScorerService", "query": "QueryService"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_well: bool
    said: str


@click.command("doctor")
@tenant_option
def command(tenant: str | None) -> None:
    """Checks a running suite: doors, health, lag, dead letters. Exit code 1 if something is wrong."""
    suite = find_suite(tenant)
    findings = [_service(suite, name) for name in SERVICES]
    if findings[1].is_well:
        findings += _progress(suite)
    table = Table(header_style="bold")
    for name in ("What", "", "Says"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        mark = "[green]well[/]" if finding.is_well else "[red]WRONG[/]"
        table.add_row(finding.what, mark, escape(finding.said))
    Console().print(table)
    if not all(finding.is_well for finding in findings):
        raise SystemExit(1)


def _service(suite: Suite, name: str) -> Finding:
    what, address = f"{name} at {suite.address(name)}", suite.address(name)
    with suite.channel(name) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            request = health_pb2.HealthCheckRequest(service=f"leadscore.{name}.v1.{SERVICES[name]}")
            answer = stub.Check(request, timeout=HEALTH_TIMEOUT_S)
        except grpc.RpcError:
            said = f"nothing answers at {address}: start the suite, or set LEADSCORE_{name.upper()}_ADDRESS"
            return Finding(what, False, said)
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return Finding(what, True, "ready")
    return Finding(what, False, "runs, but the stream or the database that it needs is away: look at its log")


def _progress(suite: Suite) -> list[Finding]:
    with suite.channel("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        try:
            request = scorer.GetProgressRequest()
            progress = stub.GetProgress(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
        except grpc.RpcError as error:
            return [Finding("scoring", False, sentence_of(error, suite))]
    orphans = [str(each.partition) for each in progress.partitions if not each.owner]
    lag = f"{progress.pending} messages wait, the oldest for {progress.lag_s:.1f} s"
    return [
        Finding("scoring", progress.lag_s < LAG_S_MAX, lag if progress.pending else "nothing waits"),
        Finding(
            "partitions",
            not orphans,
            f"nobody consumes {', '.join(orphans)}: is a scorer running?"
            if orphans
            else f"{len(progress.partitions)}, consumed by {len(progress.scorers)} scorer(s)",
        ),
        Finding(
            "dead letters",
            progress.dead_letters == 0,
            f"{progress.dead_letters} facts could not be processed: `leadscore quarantine` lists them"
            if progress.dead_letters
            else "none",
        ),
    ]
