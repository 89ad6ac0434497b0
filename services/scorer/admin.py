"""The RPCs of admins: check, call, translate."""

from typing import Any

from grpc import aio
from leadscore.admin.v1 import admin_service_pb2 as contract
from leadscore.admin.v1 import admin_service_pb2_grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from services.scorer.audit import list_audit
from services.shared.credentials import caller

SERVICE_NAME = "leadscore.admin.v1.AdminService"


class AdminService(admin_service_pb2_grpc.AdminServiceServicer):
    """The audit log. Requests arrive checked against their field rules."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def ListAudit(
        self, request: contract.ListAuditRequest, context: aio.ServicerContext[Any, Any]
    ) -> contract.ListAuditResponse:
        """A page of the audit log."""
        return await list_audit(self._engine, caller().tenant_id, request)
