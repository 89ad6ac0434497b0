"""What the OpenAPI document says of uploads, which no contract describes."""

from typing import Any

_TEXT = {"type": "string"}
_MAPPING = {
    "type": "object",
    "description": "How a foreign file is to be read.",
    "properties": {
        "columns": {"type": "object", "description": "The column of a field: {'lead_id': 'user_id'}."},
        "types": {"type": "object", "description": "Foreign types: {'Order Completed': 'purchase'}."},
        "timezone": {**_TEXT, "description": "Of times without an offset; an IANA name. Default UTC."},
        "properties": {"description": "Columns that become properties: 'rest' (default), 'none', or a list."},
        "format": {"type": "string", "enum": ["csv", "json", "ndjson"]},
        "delimiter": {"type": "string", "enum": [",", ";", "\t", "|"]},
    },
    "additionalProperties": False,
}
_COUNTS = ("rowsRead", "accepted", "duplicates", "rejected")
_PROBLEM = {"$ref": "#/components/responses/Problem"}

UPLOAD_PATHS: dict[str, Any] = {
    "/v1/events:upload": {
        "post": {
            "operationId": "UploadEvents",
            "tags": ["IngestService"],
            "summary": "Imports a file of events",
            "description": (
                "CSV, a JSON array or NDJSON, also gzipped, at most 1 GiB; read as it comes in. Bad rows are refused "
                "one by one and listed at /v1/imports/{importId}/errors; good ones around them are kept. May be sent "
                "again at any time without changing a score."
            ),
            "parameters": [
                {
                    "name": "importId",
                    "in": "query",
                    "required": False,
                    "description": "Names the import.",
                    "schema": _TEXT,
                },
                {"name": "mapping", "in": "query", "required": False, "description": "As the part.", "schema": _TEXT},
            ],
            "requestBody": {
                "required": True,
                "content": {
                    "multipart/form-data": {
                        "schema": {
                            "type": "object",
                            "properties": {"mapping": _MAPPING, "file": {"type": "string", "format": "binary"}},
                            "required": ["file"],
                        }
                    },
                    "text/csv": {"schema": {"type": "string"}},
                    "application/x-ndjson": {"schema": {"type": "string"}},
                    "application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}}},
                },
            },
            "responses": {
                "202": {
                    "description": "Every good row is on the stream; /v1/imports/{importId} tells when all is scored.",
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {
                                    "importId": _TEXT,
                                    **{name: {"type": "integer"} for name in _COUNTS},
                                    "consistencyToken": _TEXT,
                                },
                            }
                        }
                    },
                },
                **dict.fromkeys(("400", "401", "403", "408", "413", "415", "429", "503", "504"), _PROBLEM),
            },
        }
    }
}
