"""What the OpenAPI document says of Segment's calls, which no contract describes."""

from typing import Any

from gateway.segment.calls import BATCH_BYTES_MAX, BATCH_CALLS_MAX, CALL_BYTES_MAX

_PROBLEM = {"$ref": "#/components/responses/Problem"}
_ID = {"type": ["string", "integer"]}
_TIME = {"type": ["string", "number"], "description": "RFC 3339, or seconds or milliseconds since 1970."}
_OBJECT = {"type": "object", "additionalProperties": True}
_CALL: dict[str, Any] = {
    "messageId": {**_ID, "description": "Becomes the event's id: a call that is sent again counts once."},
    "userId": {**_ID, "description": "The lead; failing it, `anonymousId` is."},
    "anonymousId": {**_ID, "description": "The lead of a call without `userId`."},
    "timestamp": {**_TIME, "description": "When it happened, by the sender's clock. Default: when it was received."},
    "sentAt": {**_TIME, "description": "The sender's clock when it sent the call; what it is wrong by is made good."},
    "context": {**_OBJECT, "description": "Campaign, page, app, device type and locale are kept."},
    "writeKey": {"type": "string", "description": "A key, where no authorization header can be sent."},
}
_OWN: dict[str, dict[str, Any]] = {
    "track": {
        "event": {"type": "string", "description": "Becomes the event's type."},
        "properties": {**_OBJECT, "description": "Become the event's."},
    },
    "identify": {"traits": {**_OBJECT, "description": "Become keys of the lead's profile."}},
    "page": {
        "name": {"type": "string", "description": "Becomes a property."},
        "category": {"type": "string", "description": "Becomes a property."},
        "properties": {**_OBJECT, "description": "Become the event's."},
    },
    "group": {
        "groupId": {**_ID, "description": "Becomes `company_id` of the lead's profile."},
        "traits": {**_OBJECT, "description": "Become company keys of the lead's profile."},
    },
    "alias": {"previousId": {**_ID, "description": "Becomes a property; leads are not joined."}},
}
_OWN["screen"] = _OWN["page"]
_SUMMARIES = {
    "track": "Takes a track call of Segment's: an event",
    "identify": "Takes an identify call of Segment's: a lead's profile",
    "page": "Takes a page call of Segment's: an event `page_view`",
    "screen": "Takes a screen call of Segment's: an event `screen_view`",
    "group": "Takes a group call of Segment's: the company in a lead's profile",
    "alias": "Takes an alias call of Segment's: an event `alias`",
}
_LEAD = [{"required": ["userId"]}, {"required": ["anonymousId"]}]
_REQUIRED = {"track": ["event"], "alias": ["userId"]}
_ABOUT = "As an SDK of Segment's sends it. Answered when it is on disk in the stream."


def _schema(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {**_CALL, **_OWN[kind]}, "additionalProperties": True}
    return {**schema, "required": _REQUIRED.get(kind, []), "anyOf": _LEAD}


def _operation(name: str, summary: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
    return {
        "operationId": f"Segment{name.capitalize()}",
        "tags": ["Segment"],
        "summary": summary,
        "description": description,
        "security": [{"writeKey": []}, {"key": []}, {}],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema}, "text/plain": {"schema": text}},
        },
        "responses": {
            "200": {
                "description": "What was not refused is on disk.",
                "headers": {
                    "x-consistency-token": {
                        "description": "Pass it to a read, and it waits until all of it has been scored.",
                        "schema": {"type": "string"},
                    }
                },
                "content": {"application/json": {"schema": _SUCCESS}},
            },
            **dict.fromkeys(("400", "401", "403", "408", "413", "415", "429", "503", "504"), _PROBLEM),
        },
    }


def _preflight(name: str) -> dict[str, Any]:
    return {
        "operationId": f"Segment{name.capitalize()}Preflight",
        "tags": ["Segment"],
        "summary": "Answers a browser that asks whether a page may call",
        "description": "The pages of the sites in LEADSCORE_SEGMENT_ORIGINS may.",
        "security": [{}],
        "responses": {"204": {"description": "The headers say what may be sent."}, "403": _PROBLEM},
    }


_VIOLATION = {"type": "object", "properties": {"field": {"type": "string"}, "description": {"type": "string"}}}
_SUCCESS = {
    "type": "object",
    "properties": {
        "success": {"const": True},
        "rejected": {
            "type": "array",
            "description": "The calls of a batch that were refused, by index; all the others were taken.",
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer"},
                    "messageId": {"type": "string"},
                    "violations": {"type": "array", "items": _VIOLATION},
                },
            },
        },
    },
    "required": ["success"],
}
_BATCH = {
    "type": "object",
    "properties": {
        "batch": {
            "type": "array",
            "minItems": 1,
            "maxItems": BATCH_CALLS_MAX,
            "description": "The calls, each with its `type`.",
            "items": {
                "type": "object",
                "properties": {**_CALL, "type": {"type": "string", "enum": list(_SUMMARIES)}},
                "required": ["type"],
                "anyOf": _LEAD,
            },
        },
        **{name: _CALL[name] for name in ("sentAt", "context", "writeKey")},
    },
    "required": ["batch"],
    "additionalProperties": True,
}
_BATCH_ABOUT = (
    f"{_ABOUT} At most {BATCH_CALLS_MAX} calls and {BATCH_BYTES_MAX} bytes, and {CALL_BYTES_MAX} bytes a call. Calls "
    "that are wrong are refused one by one; the others are taken. 400 if all are wrong."
)

SEGMENT_PATHS: dict[str, Any] = {
    **{
        f"/v1/{kind}": {"post": _operation(kind, summary, _ABOUT, _schema(kind)), "options": _preflight(kind)}
        for kind, summary in _SUMMARIES.items()
    },
    "/v1/batch": {
        "post": _operation("batch", "Takes several of Segment's calls", _BATCH_ABOUT, _BATCH),
        "options": _preflight("batch"),
    },
}
