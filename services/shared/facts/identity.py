"""What makes a fact recognisable, and which ordered line it belongs to. Stable for ever: stored data depends on it."""

import re
import secrets
import uuid
import zlib
from functools import lru_cache
from hashlib import blake2b

from leadscore.event.v1 import event_pb2

DIGEST_BYTES = 16
"""128 bits: a chance of one in 10^18 that any two of ten thousand million contents are taken for the same."""
TYPES_MAX = 10_000
"""Folded types that are remembered: senders use few, but choose their names."""

_SEPARATORS = re.compile(r"[ _-]+")
_NAMESPACE = uuid.UUID("5f1c6c2e-6d0e-4a5c-9d7f-0e6a3f6f9b11")


@lru_cache(maxsize=TYPES_MAX)
def fold_type(type_name: str) -> str:
    """An event type as rules name it: lower snake case ("Pop-up  Email Viewed" is "pop_up_email_viewed")."""
    return _SEPARATORS.sub("_", type_name.strip()).lower()


def content_digest(event: event_pb2.Event) -> bytes:
    """The digest of an event as it was sent, type folded, before anything is filled in."""
    return blake2b(event.SerializeToString(deterministic=True), digest_size=DIGEST_BYTES).digest()


def partition_of(tenant_id: str, lead_id: str, partitions: int) -> int:
    """The line of a lead. CRC-32, because every client and language has it."""
    return zlib.crc32(f"{tenant_id}\n{lead_id}".encode()) % partitions


def made_event_id(idempotency_key: str | None, index: int, now_us: int) -> str:
    """The id of an event that came without one: the same for a repeat with the same key, else a new one."""
    if idempotency_key is None:
        return _new_id(now_us)
    return str(uuid.uuid5(_NAMESPACE, f"{idempotency_key}\n{index}"))


def _new_id(now_us: int) -> str:
    """A UUID of version 7 (RFC 9562): the time in milliseconds and 74 random bits. Ids of about the same time are near
    each other in the index of all ids, where one at random is anywhere.
    """
    chance = secrets.randbits(74)
    version, variant = 7 << 76, 0b10 << 62
    return str(uuid.UUID(int=now_us // 1_000 << 80 | version | chance >> 62 << 64 | variant | chance & (1 << 62) - 1))


def message_id(tenant_id: str, event_ids: list[str], digests: bytes) -> str:
    """The dedup id of a message: tenant, ids and contents of its facts. The stream compares nothing else."""
    digest = blake2b(digests, digest_size=DIGEST_BYTES, person=b"facts")
    digest.update(tenant_id.encode())
    for event_id in event_ids:
        digest.update(b"\n" + event_id.encode())
    return digest.hexdigest()
