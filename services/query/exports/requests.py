"""What a request asks for, beyond what its field rules can say."""

from leadscore.query.v1 import export_pb2 as contract

from services.query.exports.slices import Scope
from services.query.filters.condition import condition_of
from services.query.filters.parsing import parse_filter
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.schema import LEADS

OF_A_LEAD = (contract.EXPORT_KIND_EVENTS, contract.EXPORT_KIND_LEDGER)


def scope_of(tenant_id: str, request: contract.ExportRequest) -> Scope:
    """The rows that are asked for. Raises InvalidRequest."""
    violations = []
    is_report = request.kind == contract.EXPORT_KIND_REPORT
    if is_report != (request.format == contract.EXPORT_FORMAT_PDF):
        violations.append(FieldViolation("format", "must be PDF for a report, and is PDF for nothing else"))
    if request.filter and request.kind != contract.EXPORT_KIND_LEADS:
        violations.append(FieldViolation("filter", "is for leads only"))
    if request.lead_id and request.kind not in OF_A_LEAD:
        violations.append(FieldViolation("lead_id", "is for events and the ledger only"))
    if violations:
        raise InvalidRequest(violations)
    tree = parse_filter(request.filter)
    return Scope(tenant_id, request.lead_id, None if tree is None else condition_of(tree, LEADS.c))
