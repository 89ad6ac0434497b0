"""Opaque tokens: consistency tokens (places in the stream) and page tokens (places in a list)."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from services.shared.errors import FieldViolation, InvalidRequest

Shape = TypeVar("Shape")


def encode_positions(positions: Mapping[int, int]) -> str:
    """A consistency token that stands for a sequence in each of some partitions."""
    return _encode(sorted(positions.items()))


def decode_positions(token: str, field: str = "consistency_token") -> dict[int, int]:
    """The positions of a consistency token. Raises InvalidRequest for what is not one."""
    return dict(_decode(token, list[tuple[int, int]], field))


def merge_positions(tokens: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """The positions that cover all of `tokens`."""
    merged: dict[int, int] = {}
    for positions in tokens:
        for partition, sequence in positions.items():
            merged[partition] = max(sequence, merged.get(partition, 0))
    return merged


def encode_page(key: object) -> str:
    """A page token for the key of the last row shown."""
    return _encode(key)


def decode_page(token: str, shape: type[Shape], field: str = "page_token") -> Shape | None:
    """The key in a page token, or None for the first page. Raises InvalidRequest for what is no token of this list."""
    return _decode(token, shape, field) if token else None


def _encode(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(value)).rstrip(b"=").decode()


def _decode(token: str, shape: type[Shape], field: str) -> Shape:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        return msgspec.msgpack.decode(raw, type=shape)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise InvalidRequest([FieldViolation(field, "is not a token of this call")]) from None
