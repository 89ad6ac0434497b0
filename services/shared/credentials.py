"""Who is asking: from the credential to the tenant. The tenant is never taken from a request's body."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from services.shared.errors import FieldViolation, InvalidRequest, Unauthenticated
from services.shared.settings import Settings

AUTHORIZATION = "authorization"
TENANT = "x-tenant-id"
IDEMPOTENCY_KEY = "idempotency-key"
IDEMPOTENCY_KEY_LENGTH_MAX = 200
"""As for an event id, which it stands in for."""

BOOTSTRAP = "bootstrap key"
ANONYMOUS = "anybody on this machine"

TENANT_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""A tenant's id is part of NATS subjects and of every key in the database: short, and nothing with a meaning there."""


@dataclass(frozen=True)
class Caller:
    """Whoever makes a call, and the tenant that the call is about."""

    tenant_id: str
    actor: str
    """The name of the key that was shown; the audit log has it."""


_caller: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """The caller of the RPC that is being handled."""
    return _caller.get()


def set_caller(value: Caller) -> None:
    """Called by the server once for each RPC, before its handler."""
    _caller.set(value)


def idempotency_key(metadata: Iterable[tuple[str, str | bytes]] | None) -> str | None:
    """The key under which a request may be repeated, if one came with it. Raises InvalidRequest for one too long."""
    for key, value in metadata or ():
        if key == IDEMPOTENCY_KEY and isinstance(value, str) and value:
            if len(value) > IDEMPOTENCY_KEY_LENGTH_MAX:
                description = f"must have at most {IDEMPOTENCY_KEY_LENGTH_MAX} characters"
                raise InvalidRequest([FieldViolation(IDEMPOTENCY_KEY, description)])
            return value
    return None


def hash_key(key: str) -> str:
    """A key's SHA-256 in hex. Keys are random and long, so a fast hash without salt is enough."""
    return hashlib.sha256(key.encode()).hexdigest()


class Doorkeeper:
    """Decides who is asking, from gRPC metadata."""

    def __init__(self, settings: Settings) -> None:
        self._admin_hash = settings.admin_key_sha256 or (hash_key(settings.admin_key) if settings.admin_key else "")
        self._tenant = settings.tenant
        self._anonymous = settings.anonymous

    def admit(self, metadata: Mapping[str, str]) -> Caller:
        """The caller. Raises Unauthenticated without a valid key, InvalidRequest for a tenant id that cannot be one."""
        authorization = metadata.get(AUTHORIZATION)
        if authorization is None:
            if self._anonymous:
                return Caller(self._tenant, ANONYMOUS)
            raise Unauthenticated("a key is needed: send 'authorization: Bearer <key>'")
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not self._is_admin(key.strip()):
            raise Unauthenticated("the key is not known")
        tenant_id = metadata.get(TENANT, self._tenant)
        if not TENANT_PATTERN.fullmatch(tenant_id):
            description = "must be 1 to 63 lower-case letters, digits, '-' and '_', and start with a letter or digit"
            raise InvalidRequest([FieldViolation(TENANT, description)])
        return Caller(tenant_id, BOOTSTRAP)

    def _is_admin(self, key: str) -> bool:
        return bool(self._admin_hash) and hmac.compare_digest(hash_key(key), self._admin_hash)
