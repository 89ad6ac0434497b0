"""From calls to what ingest takes: events, and changes of profiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from leadscore.event.v1.event_pb2 import Event
from leadscore.ingest.v1.ingest_service_pb2 import UpsertLeadRequest

from gateway.json_reading import read_into
from gateway.segment.calls import Call, Context, Object, read_call
from gateway.segment.mapping import SegmentMapping
from gateway.segment.names import type_of
from gateway.segment.profiles import profile_of_group, profile_of_user
from gateway.segment.times import Written, corrected, correction_s
from services.shared.errors import FieldViolation, InvalidRequest

SOURCE = "segment"
KINDS = ("track", "identify", "page", "screen", "group", "alias")
VIEWS = {"page": "page_view", "screen": "screen_view"}
KEPT = {
    "app": ("name", "version"),
    "campaign": ("name", "source", "medium", "term", "content"),
    "device": ("type",),
    "os": ("name",),
    "page": ("path", "referrer", "search", "title", "url"),
}
"""Of a call's context, what rules and people may want to know; an address on the internet is not among it."""
KEPT_WHOLE = ("groupId", "locale", "timezone")

Value = str | int | float | bool


@dataclass(frozen=True)
class Refused:
    """A call that was not taken, by its index in the batch."""

    index: int
    message_id: str
    violations: list[FieldViolation]


@dataclass(frozen=True)
class Source:
    """The call that something was made of."""

    index: int
    message_id: str
    lead_field: str
    """Where it names its lead: "userId" or "anonymousId"."""


@dataclass
class Facts:
    """What a request's calls have become, each with the call that it came from."""

    events: list[Event] = field(default_factory=list)
    event_sources: list[Source] = field(default_factory=list)
    changes: list[UpsertLeadRequest] = field(default_factory=list)
    change_sources: list[Source] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class CallReader:
    """Reads the calls of one request."""

    def __init__(self, mapping: SegmentMapping, received_us: int) -> None:
        self._mapping = mapping
        self._received_us = received_us
        self._sent_at: Written = None
        self._correction_s = 0
        self.facts = Facts()

    def read_batch(self, documents: Iterable[msgspec.Raw], sent_at: Written, context: Context | None) -> Facts:
        """What the calls of a batch become. Raises InvalidRequest if `sent_at` is no time."""
        self._sent_at, self._correction_s = sent_at, correction_s(sent_at, self._received_us)
        shared = _kept(context) if context else {}
        for index, document in enumerate(documents):
            try:
                call = read_call(document)
            except InvalidRequest as error:
                self.facts.refused.append(Refused(index, "", error.violations))
            else:
                self.take(index, call, call.type or "", shared)
        return self.facts

    def take(self, index: int, call: Call, kind: str, shared: Object | None = None) -> Facts:
        """Takes one call of a kind, with what it shares with others of its context."""
        source = Source(index, _text(call.message_id), "userId" if _text(call.user_id) else "anonymousId")
        try:
            self._take(source, call, kind, shared or {})
        except InvalidRequest as error:
            self.facts.refused.append(Refused(index, source.message_id, error.violations))
        return self.facts

    def _take(self, source: Source, call: Call, kind: str, shared: Object) -> None:
        if kind not in KINDS:
            raise _refusal("type", f"must be one of {', '.join(KINDS)}, not {kind[:32]!r}")
        user_id, anonymous_id = _text(call.user_id), _text(call.anonymous_id)
        if not (user_id or (anonymous_id and kind != "alias")):
            raise _refusal("userId", "is needed" if kind == "alias" else "or anonymousId is needed")
        profile: Object = {}
        if kind == "identify":
            profile = profile_of_user(call.traits or {}, user_id, anonymous_id, self._mapping.traits)
        elif kind == "group":
            profile = profile_of_group(call.traits or {}, _text(call.group_id), self._mapping.traits)
        lead_id, time = user_id or anonymous_id, self._time(call)
        if profile:
            self._change(source, lead_id, time, profile)
        else:
            self._event(source, lead_id, time, *self._type_and_properties(call, kind), call.context, shared)

    def _time(self, call: Call) -> tuple[int, int] | None:
        written = call.timestamp if call.timestamp is not None else call.original_timestamp
        sent_at = call.sent_at
        alone = sent_at is not None and sent_at != self._sent_at
        return corrected(written, correction_s(sent_at, self._received_us) if alone else self._correction_s)

    def _change(self, source: Source, lead_id: str, time: tuple[int, int] | None, profile: Object) -> None:
        change = UpsertLeadRequest(lead_id=lead_id, event_id=source.message_id, source=SOURCE)
        read_into(profile, change.profile, "traits")
        if time is not None:
            change.occurred_at.seconds, change.occurred_at.nanos = time
        self.facts.changes.append(change)
        self.facts.change_sources.append(source)

    def _event(
        self, source: Source, lead_id: str, time: tuple[int, int] | None, kind: str, properties: Object,
        context: Context | None, shared: Object,
    ) -> None:  # fmt: skip
        event = Event(event_id=source.message_id, lead_id=lead_id, type=kind, source=SOURCE)
        around = {**shared, **_kept(context)} if context else shared
        if around:
            properties = {"context": around, **properties}
        if properties:
            read_into(properties, event.properties, "properties")
        if time is not None:
            event.occurred_at.seconds, event.occurred_at.nanos = time
        self.facts.events.append(event)
        self.facts.event_sources.append(source)

    def _type_and_properties(self, call: Call, kind: str) -> tuple[str, Object]:
        properties = call.properties or {}
        if kind == "track":
            return self._tracked(call.event or "", properties)
        if kind in VIEWS:
            named = {key: value for key, value in (("name", call.name), ("category", call.category)) if value}
            return VIEWS[kind], {**named, **properties}
        if kind == "alias":
            return kind, {"previousId": _text(call.previous_id), **properties}
        return kind, properties

    def _tracked(self, name: str, properties: Object) -> tuple[str, Object]:
        if mapped := self._mapping.types.get(name):
            return mapped, properties
        kind = type_of(name)
        if not kind:
            what = f"{name[:64]!r} holds nothing that a type can hold; map it in LEADSCORE_SEGMENT_MAPPING"
            raise _refusal("event", what if name else "is needed")
        return kind, properties if kind == name else {"event": name, **properties}


def _text(written: str | int | None) -> str:
    return "" if written is None else str(written)


def _kept(context: Context) -> Object:
    found: Object = {}
    for part, keys in KEPT.items():
        given: Any = getattr(context, part)
        if isinstance(given, dict) and (inside := {key: given[key] for key in keys if _is_value(given.get(key))}):
            found[part] = inside
    whole = zip(KEPT_WHOLE, (context.group_id, context.locale, context.timezone), strict=True)
    return found | {name: value for name, value in whole if _is_value(value)}


def _is_value(given: object) -> bool:
    return isinstance(given, Value) and given != ""


def _refusal(field_name: str, description: str) -> InvalidRequest:
    return InvalidRequest([FieldViolation(field_name, description)])
