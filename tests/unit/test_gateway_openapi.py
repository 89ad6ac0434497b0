"""The OpenAPI document says what the gateway does, for every RPC with a REST path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from gateway.openapi import openapi_document, read_comments
from gateway.parameters import parameters_of
from gateway.paths import UndecodablePath, parse_template, split_path
from gateway.routes import ROUTED, routes_of
from gateway.segment.docs import SEGMENT_PATHS
from gateway.upload_docs import UPLOAD_PATHS

ROUTES = routes_of(ROUTED)
DOCUMENT = openapi_document(ROUTES, {**UPLOAD_PATHS, **SEGMENT_PATHS})
OPERATIONS = [(path, verb, each) for path, verbs in DOCUMENT["paths"].items() for verb, each in verbs.items()]


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for each in part.values():
            yield from references(each)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def test_every_rest_path_of_the_contracts_is_there() -> None:
    shown = {(path, verb.upper()) for path, verb, _ in OPERATIONS}
    assert {(route.template.text, route.verb) for route in ROUTES} <= shown
    assert ("/v1/events:upload", "POST") in shown
    names = [each["operationId"] for _, _, each in OPERATIONS]
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        found: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert found, reference


def test_everything_is_described() -> None:
    for path, verb, each in OPERATIONS:
        assert each["summary"] and each["description"], (path, verb)
        for parameter in each.get("parameters", []):
            assert parameter["description"], (path, parameter["name"])
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for field, shown in schema["properties"].items():
            assert name == "Problem" or "$ref" in shown or shown["description"], (name, field)


def test_variables_of_paths_are_parameters() -> None:
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.template.text][route.verb.lower()]
        in_path = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert in_path == set(route.template.variables)


def test_rules_of_fields_are_shown() -> None:
    event = DOCUMENT["components"]["schemas"]["Event"]
    assert event["properties"]["leadId"]["maxLength"] == 200
    assert event["required"] == ["leadId", "type"]
    assert event["properties"]["occurredAt"]["format"] == "date-time"
    page_size = DOCUMENT["paths"]["/v1/leaderboard"]["get"]["parameters"][0]
    assert (page_size["name"], page_size["schema"]["maximum"]) == ("pageSize", 1000)
    outcome = DOCUMENT["components"]["schemas"]["EventResult"]["properties"]["outcome"]
    assert outcome["enum"] == ["UNSPECIFIED", "ACCEPTED", "DUPLICATE", "REJECTED"]
    assert "leadscore.event.v1.Event.lead_id" in read_comments()


def test_it_is_said_how_a_stream_is_opened_over_websocket() -> None:
    streams = {route.method.name: route for route in ROUTES if route.is_stream}
    assert {"WatchScores", "WatchLeaderboard", "Simulate"} <= set(streams)
    for name, route in streams.items():
        said = DOCUMENT["paths"][route.template.text]["get"]
        assert "`leadscore` and `bearer.<key>`" in said["description"], name
        assert ('"id": token' in said["description"]) == (name == "WatchScores")
        event = said["responses"]["200"]["content"]["text/event-stream"]["schema"]["properties"]
        assert event["data"]["contentSchema"]["$ref"].startswith("#/components/schemas/")
        assert ("id" in event) == (name == "WatchScores")
    watch = DOCUMENT["paths"]["/v1/scores:watch"]["get"]
    assert {"Last-Event-ID", "lastEventId"} <= {each["name"] for each in watch["parameters"]}
    assert "410" not in watch["responses"]


def test_a_call_answers_what_its_comment_says() -> None:
    def answers(path: str, verb: str) -> set[str]:
        return set(DOCUMENT["paths"][path][verb]["responses"]) & {"404", "408", "409"}

    assert answers("/v1/models/{version}", "put") == {"404", "408", "409"}
    assert answers("/v1/leaderboard", "get") == {"404"}
    assert answers("/v1/leads/{lead_id}", "delete") == set()


def test_a_key_for_repeats_is_shown_where_ids_are_made() -> None:
    takes = {
        each["operationId"]
        for _, _, each in OPERATIONS
        if any(parameter["name"] == "Idempotency-Key" for parameter in each.get("parameters", []))
    }
    assert {"PublishEvent", "PublishEvents", "UpsertLead", "UpsertLeads", "DeleteLead", "ClearOverride"} <= takes
    assert takes.isdisjoint({"CreateDraft", "TestRule", "ReleaseQuarantined", "GetLead"})


def test_a_body_is_needed_if_something_in_it_is() -> None:
    paths = DOCUMENT["paths"]
    assert paths["/v1/events"]["post"]["requestBody"]["required"] is True
    assert paths["/v1/operations"]["post"]["requestBody"]["required"] is False


def test_a_message_whose_path_says_a_part_of_it_is_whole_elsewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert "leadId" in schemas["UpsertLeadRequest"]["required"]
    assert "leadId" not in schemas["UpsertLeadBody"]["properties"]


@pytest.mark.parametrize(
    ("template", "path", "variables"),
    [
        ("/v1/leads", "/v1/leads", {}),
        ("/v1/leads", "/v1/leads/", None),
        ("/v1/leads", "/v1/Leads", None),
        ("/v1/events:batch", "/v1/events%3Abatch", {}),
        ("/v1/leads/{lead_id}", "/v1/leads/a%2Fb", {"lead_id": "a/b"}),
        ("/v1/leads/{lead_id}", "/v1/leads/a/b", None),
        ("/v1/leads/{lead_id}", "/v1/leads/", None),
        ("/v1/leads/{lead_id}", "/v1/leads/100%", {"lead_id": "100%"}),
        ("/v1/leads/{lead.lead_id}/rank", "/v1/leads/a+b/rank", {"lead.lead_id": "a+b"}),
        ("/v1/drafts/{id}:publish", "/v1/drafts/a:b:publish", {"id": "a:b"}),
        ("/v1/drafts/{id}:publish", "/v1/drafts/a", None),
        ("/v1/drafts/{id}:publish", "/v1/drafts/:publish", None),
        ("/v1/drafts/{id}:publish", "/v1/drafts/a%3Apublish", None),
    ],
)
def test_templates_match_paths_as_they_were_sent(template: str, path: str, variables: dict[str, str] | None) -> None:
    assert parse_template(template).match(split_path(path.encode())) == variables


def test_a_path_that_is_no_text_is_refused() -> None:
    with pytest.raises(UndecodablePath):
        parse_template("/v1/leads/{lead_id}").match(split_path(b"/v1/leads/%ff"))
    with pytest.raises(AssertionError, match="one segment"):
        parse_template("/v1/{name=leads/*}")


def test_what_is_said_in_so_many_words_goes_first() -> None:
    texts = ["/v1/leads/{id}", "/v1/leads/{id}:erase", "/v1/leads/count", "/v1/{kind}/count"]
    assert sorted(texts, key=lambda text: parse_template(text).precedence) == [texts[2], texts[1], texts[0], texts[3]]


def test_a_new_rpc_needs_no_code_here() -> None:
    from google.api import annotations_pb2

    file = descriptor_pb2.FileDescriptorProto(name="later.proto", package="leadscore.later.v1", syntax="proto3")
    file.dependency.append(annotations_pb2.DESCRIPTOR.name)
    request = file.message_type.add(name="PublishDraftRequest")
    request.field.add(name="id", number=1, label=1, type=9)
    request.field.add(name="version", number=2, label=1, type=3)
    request.field.add(name="draft", number=3, label=1, type=11, type_name=".leadscore.later.v1.PublishDraftRequest")
    method = file.service.add(name="LaterService").method.add(
        name="PublishDraft", input_type=".leadscore.later.v1.PublishDraftRequest",
        output_type=".leadscore.later.v1.PublishDraftRequest",
    )  # fmt: skip
    rule = method.options.Extensions[annotations_pb2.http]
    rule.post, rule.body = "/v1/drafts/{draft.id}/{version}:publish", "*"
    rule.additional_bindings.add(delete="/v1/drafts/{id}", response_body="draft")
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    routes = routes_of([("later", pool.FindServiceByName("leadscore.later.v1.LaterService"))])
    assert [(route.verb, route.template.text, route.body, route.response_body) for route in routes] == [
        ("DELETE", "/v1/drafts/{id}", "", "draft"),
        ("POST", "/v1/drafts/{draft.id}/{version}:publish", "*", ""),
    ]
    assert set(parameters_of(routes[0].method.input_type)) >= {"id", "version", "draft.id", "draft.version"}
    rule = openapi_document(routes, {})["paths"]["/v1/drafts/{draft.id}/{version}:publish"]["post"]
    assert [each["name"] for each in rule["parameters"] if each["in"] == "path"] == ["version", "draft.id"]
