"""Asks a service whether it is ready, for health checks of containers. Exit code 0 if it is.

python -m services.shared.probe 127.0.0.1:50051 leadscore.ingest.v1.IngestService
"""

import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_S = 4.0
OPTIONS = (("grpc.enable_http_proxy", 0),)
"""A proxy for the web, as http_proxy names it, is no way to our own services."""


def is_ready(address: str, service: str) -> bool:
    """Whether `service` at `address` says SERVING; the empty name asks for the process alone."""
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(request, timeout=TIMEOUT_S)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    raise SystemExit(0 if is_ready(*sys.argv[1:3]) else 1)
