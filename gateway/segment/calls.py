"""How Segment's calls are written: one of them as a body, or several as a batch."""

from typing import Any, TypeVar

import msgspec

from services.shared.errors import FieldViolation, InvalidRequest

CALL_BYTES_MAX = 32 * 1024
"""Of one call as JSON: Segment's own limit, which its SDKs keep."""
BATCH_BYTES_MAX = 500 * 1024
"""Of a body, inflated: Segment's own limit for a batch."""
BATCH_CALLS_MAX = 2_500
"""Segment's own limit."""

Id = str | int | None
"""An id; some send numbers."""
Time = str | int | float | None
Object = dict[str, Any]
Shape = TypeVar("Shape")


class Context(msgspec.Struct, rename="camel"):
    """Those parts of a call's surroundings that are kept; see `facts`. The rest is passed over as it is read."""

    app: Any = None
    campaign: Any = None
    device: Any = None
    group_id: Any = None
    locale: Any = None
    os: Any = None
    page: Any = None
    timezone: Any = None


class Call(msgspec.Struct, rename="camel"):
    """One call of any kind."""

    type: str | None = None
    message_id: Id = None
    user_id: Id = None
    anonymous_id: Id = None
    previous_id: Id = None
    group_id: Id = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    timestamp: Time = None
    original_timestamp: Time = None
    sent_at: Time = None
    properties: Object | None = None
    traits: Object | None = None
    context: Context | None = None
    write_key: str | None = None


class Batch(msgspec.Struct, rename="camel"):
    """Several calls, unread: one that is wrong must not spoil the others."""

    batch: list[msgspec.Raw]
    sent_at: Time = None
    context: msgspec.Raw = msgspec.Raw()
    write_key: str | None = None


_CALLS = msgspec.json.Decoder(Call)
_BATCHES = msgspec.json.Decoder(Batch)
_CONTEXTS = msgspec.json.Decoder(Context | None)


def read_call(document: bytes | msgspec.Raw) -> Call:
    """A call. Raises InvalidRequest, naming what is wrong."""
    if (size := len(memoryview(document))) > CALL_BYTES_MAX:
        raise _refusal("", f"the call has {size} bytes; at most {CALL_BYTES_MAX} are taken")
    return _read(_CALLS, document)


def read_batch(body: bytes) -> tuple[Batch, Context | None]:
    """A batch, and the surroundings that its calls share. Raises InvalidRequest, naming what is wrong."""
    batch = _read(_BATCHES, body)
    if not 1 <= len(batch.batch) <= BATCH_CALLS_MAX:
        raise _refusal("batch", f"holds {len(batch.batch)} calls; 1 to {BATCH_CALLS_MAX} are taken")
    shared_bytes = len(memoryview(batch.context))
    if len(body) + len(batch.batch) * shared_bytes > BATCH_BYTES_MAX:
        raise _refusal(
            "context", f"counts once for each call, and makes more than {BATCH_BYTES_MAX} bytes of the batch"
        )
    return batch, _read(_CONTEXTS, batch.context) if shared_bytes else None


def _read(decoder: "msgspec.json.Decoder[Shape]", document: bytes | msgspec.Raw) -> Shape:
    try:
        return decoder.decode(document)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        raise _refusal(where.strip("`").removeprefix("$").lstrip("."), what[:1].lower() + what[1:]) from None
    except msgspec.DecodeError as error:
        raise _refusal("", f"is not JSON: {error}") from None
    except UnicodeDecodeError:
        raise _refusal("", "is not UTF-8") from None
    except RecursionError:
        raise _refusal("", "is nested too deeply") from None


def _refusal(field: str, description: str) -> InvalidRequest:
    return InvalidRequest([FieldViolation(field, description)])
