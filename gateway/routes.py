"""The REST routes, built from the contracts: every RPC with a `google.api.http` option is one, without code here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.api import annotations_pb2, http_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from leadscore.admin.v1 import admin_service_pb2
from leadscore.ingest.v1 import ingest_service_pb2
from leadscore.query.v1 import query_service_pb2
from leadscore.scorer.v1 import scorer_service_pb2

from gateway.parameters import parameters_of
from gateway.paths import Template, parse_template

SERVICES: dict[str, ServiceDescriptor] = {
    "ingest": ingest_service_pb2.DESCRIPTOR.services_by_name["IngestService"],
    "scorer": scorer_service_pb2.DESCRIPTOR.services_by_name["ScorerService"],
    "query": query_service_pb2.DESCRIPTOR.services_by_name["QueryService"],
}
"""The services behind the gateway, by the names that the settings of their processes have."""
ROUTED = (*SERVICES.items(), ("scorer", admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]))
"""All services with REST paths, each with the process that hosts it."""


RESUME_FIELD = "resume_token"
"""The field of a stream's request, and of its answers, that says where it was left."""


@dataclass(frozen=True)
class Route:
    """A REST path and the RPC that answers it."""

    verb: str
    template: Template
    service: str
    method: MethodDescriptor
    body: str
    response_body: str

    @property
    def rpc(self) -> str:
        """The RPC as gRPC names it."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def request_type(self) -> type[Message]:
        """The kind of message that the RPC takes."""
        return message_factory.GetMessageClass(self.method.input_type)

    @property
    def response_type(self) -> type[Message]:
        """The kind of message that the RPC answers."""
        return message_factory.GetMessageClass(self.method.output_type)

    @property
    def is_stream(self) -> bool:
        """Whether the RPC answers message after message."""
        return bool(self.method.server_streaming)

    @property
    def is_resumable(self) -> bool:
        """Whether a stream can be taken up again where it was left."""
        return self.is_stream and RESUME_FIELD in self.method.input_type.fields_by_name


def routes_of(services: Iterable[tuple[str, ServiceDescriptor]]) -> list[Route]:
    """All routes, those that say more before those that leave more open."""
    routes = [
        route
        for name, service in services
        for method in service.methods
        if method.GetOptions().HasExtension(annotations_pb2.http)
        for route in _routes(name, method)
    ]
    return sorted(routes, key=lambda route: route.template.precedence)


def _routes(service: str, method: MethodDescriptor) -> Iterator[Route]:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    rules: Iterable[http_pb2.HttpRule] = (rule, *rule.additional_bindings)
    for each in rules:
        pattern = each.WhichOneof("pattern")
        assert pattern in ("get", "put", "post", "delete", "patch"), f"{method.full_name}: {pattern}"
        assert not method.client_streaming, f"{method.full_name}: a stream of requests has no REST path"
        template = parse_template(getattr(each, pattern))
        missing = set(template.variables) - set(parameters_of(method.input_type))
        assert not missing, f"{method.full_name}: the path sets {missing}, which are no fields that a text can set"
        yield Route(pattern.upper(), template, service, method, each.body, each.response_body)
