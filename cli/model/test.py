"""`leadscore model test`: what one rule of a file makes of an event, or one criterion of a profile."""

import json
from pathlib import Path
from typing import Any

import click
import grpc
from google.protobuf.json_format import ParseDict, ParseError
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from cli.client import CALL_DEADLINE_S, find_suite
from cli.model.definition import Fault
from cli.model.faults import Refused, fault_at, faults_as_json, faults_in
from cli.model.files import PATH, ModelFile, read_file
from cli.options import Text, json_option, tenant_option
from cli.screen import print_json

TESTED = ("rule", "criterion")
"""The fields of the request that come from the file."""


class Object(click.ParamType[dict[str, Any]]):
    """A JSON object, or `@` and the file that holds one."""

    name = "JSON|@file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The object as a dictionary."""
        if isinstance(value, dict):
            return value
        text = str(value)
        try:
            found = json.loads(Path(text[1:]).read_bytes() if text.startswith("@") else text)
        except OSError as error:
            self.fail(f"{text[1:]} cannot be read: {error.strerror}", param, ctx)
        except (ValueError, RecursionError):
            self.fail(f"{text!r} holds no JSON", param, ctx)
        if not isinstance(found, dict):
            self.fail(f"{text!r} holds no JSON object, such as {{}}", param, ctx)
        return found


@click.command("test")
@click.argument("file", type=PATH)
@click.option("--rule", type=Text(), help="The rule to try, by name; needs --event.")
@click.option("--event", type=Object(), help='The event: {"type": "purchase", "properties": {"total": 120}}.')
@click.option("--criterion", type=Text(), help="The criterion to try, by name; needs --profile.")
@click.option("--profile", type=Object(), help='The profile: {"budget": 50000}.')
@tenant_option
@json_option
def command(
    file: Path,
    rule: str | None,
    event: dict[str, Any] | None,
    criterion: str | None,
    profile: dict[str, Any] | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Says what one rule of FILE makes of an event, or one criterion of a profile. Exit code 1 if it does not match."""
    with faults_as_json(as_json):
        if rule is not None and event is not None and criterion is None and profile is None:
            model_file = read_file(file)
            answer = _ask(*_of_rule(model_file, rule, event), model_file, tenant)
        elif criterion is not None and profile is not None and rule is None and event is None:
            model_file = read_file(file)
            answer = _ask(*_of_criterion(model_file, criterion, profile), model_file, tenant)
        else:
            raise click.UsageError("name a --rule and an --event, or a --criterion and a --profile")
    if as_json:
        print_json(answer)
    else:
        verdict = f"{answer.points:+g} points" if answer.matches else "does not match"
        click.echo(f"{verdict}: {answer.explanation}" if answer.explanation else verdict)
    if not answer.matches:
        raise SystemExit(1)


def _of_rule(file: ModelFile, name: str, event: dict[str, Any]) -> tuple[scorer.TestRuleRequest, str]:
    """The question, and the rule's place in the file."""
    index = _index_of(name, [each.name for each in file.definition.rules], "rule")
    request = scorer.TestRuleRequest(rule=file.definition.rules[index])
    try:
        ParseDict(event, request.event)
    except ParseError as error:
        raise click.BadParameter(str(error), param_hint="--event") from None
    return request, f"rules[{index}]"


def _of_criterion(file: ModelFile, name: str, profile: dict[str, Any]) -> tuple[scorer.TestRuleRequest, str]:
    """The question, and the criterion's place in the file."""
    index = _index_of(name, [each.name for each in file.definition.criteria], "criterion")
    request = scorer.TestRuleRequest(criterion=file.definition.criteria[index])
    try:
        ParseDict(profile, request.profile)
    except ParseError as error:
        raise click.BadParameter(str(error), param_hint="--profile") from None
    return request, f"criteria[{index}]"


def _index_of(name: str, names: list[str], what: str) -> int:
    if name not in names:
        raise click.ClickException(f"the file has no {what} {name!r}; there are {', '.join(names) or 'none'}")
    return names.index(name)


def _ask(request: scorer.TestRuleRequest, path: str, file: ModelFile, tenant: str | None) -> scorer.TestRuleResponse:
    suite = find_suite(tenant)
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        try:
            return stub.TestRule(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)
        except grpc.RpcError as error:
            if faults := faults_in(error, {}):
                raise Refused(file.name, [_in_file(each, path, file) for each in faults]) from None
            raise


def _in_file(fault: Fault, path: str, file: ModelFile) -> Fault:
    """A fault of what was asked about, at its place in the file."""
    tested, dot, below = fault.field.partition(".")
    return fault_at(f"{path}{dot}{below}", fault.description, file.lines) if tested in TESTED else fault
