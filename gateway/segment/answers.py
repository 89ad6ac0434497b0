"""What is answered to calls. Nothing that was refused is passed over in silence."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from leadscore.ingest.v1 import ingest_service_pb2 as contract
from starlette.responses import JSONResponse, Response

from gateway.problems import Problem
from gateway.segment.facts import Refused, Source
from services.shared.errors import FieldViolation
from services.shared.tokens import decode_positions, encode_positions, merge_positions

TOKEN_HEADER = "x-consistency-token"  # noqa: S105  # It opens nothing.
"""Not in the body, which is as Segment's is."""
NAMES = {"event_id": "messageId", "type": "event", "occurred_at": "timestamp", "profile": "traits"}
"""Fields of ours as calls have them."""


class Results(Protocol):
    """The part of ingest's answers that is told to the caller."""

    @property
    def results(self) -> Sequence[contract.EventResult]:
        """What became of each, in the order sent."""

    @property
    def consistency_token(self) -> str:
        """Stands for those that were accepted."""


def refused_by_ingest(sources: Sequence[Source], answer: Results) -> list[Refused]:
    """The calls whose facts ingest has refused, in the words of the calls."""
    return [
        Refused(source.index, source.message_id, [_translated(each, source) for each in result.violations])
        for source, result in zip(sources, answer.results, strict=True)
        if result.outcome == contract.OUTCOME_REJECTED
    ]


def answer(answers: Iterable[Results], calls: int, refused: list[Refused], is_batch: bool) -> Response:
    """Success, with the calls that were refused if there are any. Raises Problem if all of them were."""
    refused.sort(key=lambda each: each.index)
    if refused and len(refused) == calls:
        raise _problem(refused, is_batch)
    document: dict[str, Any] = {"success": True}
    if refused:
        document["rejected"] = [_shown(each) for each in refused]
    tokens = [decode_positions(each.consistency_token) for each in answers if each.consistency_token]
    headers = {TOKEN_HEADER: encode_positions(merge_positions(tokens))} if tokens else None
    return JSONResponse(document, headers=headers)


def _problem(refused: list[Refused], is_batch: bool) -> Problem:
    violations = [
        FieldViolation(_place(each.index, violation.field) if is_batch else violation.field, violation.description)
        for each in refused
        for violation in each.violations
    ]
    detail = "; ".join(str(each) for each in violations[:3])
    return Problem(HTTPStatus.BAD_REQUEST, detail, violations=violations)


def _place(index: int, field: str) -> str:
    return f"batch[{index}].{field}" if field else f"batch[{index}]"


def _shown(refused: Refused) -> dict[str, Any]:
    violations = [{"field": each.field, "description": each.description} for each in refused.violations]
    return {"index": refused.index, "messageId": refused.message_id, "violations": violations}


def _translated(violation: contract.Violation, source: Source) -> FieldViolation:
    head, dot, rest = violation.field.partition(".")
    name = source.lead_field if head == "lead_id" else NAMES.get(head, head)
    return FieldViolation(f"{name}{dot}{rest}", violation.description)
