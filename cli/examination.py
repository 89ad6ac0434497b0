"""What the doctor looks at, one thing after the other. Each says what to do if it is not well."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from cli.client import CALL_DEADLINE_S, Suite
from cli.doors import SERVICES, read_doors
from cli.up.folder import is_taken
from embedded.probe import http_status
from services.shared.settings import SETTINGS

HEALTH_TIMEOUT_S = 3.0
LAG_S_MAX = 10.0
"""A scorer that is this far behind is not keeping up."""
FREE_BYTES_MIN = 2 << 30
"""With less room than this in the data folder, the stream or the database will soon have none."""
SETTING_PREFIX = "LEADSCORE_"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_well: bool
    says: str


def examine(suite: Suite) -> list[Finding]:
    """Looks at everything; what cannot be looked at is a finding, too."""
    services = [service(suite, name) for name in SERVICES]
    findings = [*settings(), *folder(suite), *gateway(suite), *services]
    if services[SERVICES.index("scorer")].is_well:
        findings += progress(suite)
    return findings


def settings() -> Iterator[Finding]:
    """The environment of this command: a variable with a typing mistake is passed over in silence elsewhere."""
    yield Finding("leadscore", True, f"version {version('leadscore')}, grpc {grpc.__version__}")
    known = {each.metadata["variable"] for each in SETTINGS}
    unknown = sorted(name for name in os.environ if name.startswith(SETTING_PREFIX) and name not in known)
    yield Finding("settings", not unknown, f"there is no setting {', '.join(unknown)}" if unknown else "all are known")


def folder(suite: Suite) -> Iterator[Finding]:
    """The data folder, if a suite has run in it."""
    path = suite.settings.data_dir
    if not path.is_dir():
        return
    free = shutil.disk_usage(path).free
    says = f"{free / (1 << 30):.1f} GiB are free in {path.absolute()}"
    yield Finding("disk", free >= FREE_BYTES_MIN, says if free >= FREE_BYTES_MIN else f"only {says}: make room")
    if read_doors(path) is not None and not is_taken(path):
        yield Finding("data folder", False, "the suite that ran here was killed; start it again, its data is kept")


def gateway(suite: Suite) -> Iterator[Finding]:
    """The door for REST; where that of a suite on other machines is, no setting says."""
    if any(getattr(suite.settings, f"{name}_address") for name in SERVICES):
        return
    address = suite.address("gateway")
    host, _, port = address.rpartition(":")
    status = (
        asyncio.run(http_status(host.strip("[]"), int(port), "/readyz", HEALTH_TIMEOUT_S)) if port.isdigit() else None
    )
    says = {
        None: "nothing answers: start the suite (`make run`)",
        200: "ready",
        503: "runs, but a service behind it is not ready",
    }
    other = f"answers {status}: another program listens there"
    yield Finding(f"gateway at {address}", status == 200, says.get(status, other))


def service(suite: Suite, name: str) -> Finding:
    """One of the gRPC doors."""
    what = f"{name} at {suite.address(name)}"
    request = health_pb2.HealthCheckRequest(service=f"leadscore.{name}.v1.{name.capitalize()}Service")
    with suite.channel(name) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(request, timeout=HEALTH_TIMEOUT_S)
        except grpc.RpcError as error:
            return Finding(what, False, suite.sentence(error, name))
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return Finding(what, True, "ready")
    return Finding(what, False, "runs, but the stream or the database that it needs is away: look at its log")


def progress(suite: Suite) -> Iterator[Finding]:
    """The key, and how far the scorers are."""
    with suite.channel("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        try:
            request = scorer.GetProgressRequest()
            found = stub.GetProgress(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
        except grpc.RpcError as error:
            yield Finding("key and scoring", False, suite.sentence(error, "scorer"))
            return
    yield Finding("key", True, "is accepted" if suite.metadata else "none is set, and none is needed")
    yield scoring(found)
    yield partitions(found)
    yield dead_letters(found)


def scoring(found: scorer.GetProgressResponse) -> Finding:
    """Whether the scorers keep up."""
    if not found.pending:
        return Finding("scoring", True, "nothing waits")
    says = f"{found.pending} messages wait, the oldest for {found.lag_s:.1f} s"
    if found.lag_s < LAG_S_MAX:
        return Finding("scoring", True, says)
    return Finding("scoring", False, f"{says}: if that does not shrink, look at the scorer's log, or start another one")


def partitions(found: scorer.GetProgressResponse) -> Finding:
    """Whether each partition has a scorer."""
    orphans = [str(each.partition) for each in found.partitions if not each.owner]
    if orphans:
        return Finding("partitions", False, f"nobody consumes {', '.join(orphans)}: is a scorer running?")
    return Finding("partitions", True, f"{len(found.partitions)}, consumed by {len(found.scorers)} scorer(s)")


def dead_letters(found: scorer.GetProgressResponse) -> Finding:
    """Whether facts were set aside that could not be processed."""
    if not found.dead_letters:
        return Finding("dead letters", True, "none")
    says = f"{found.dead_letters} facts could not be processed: `leadscore quarantine` lists them"
    return Finding("dead letters", False, says)
