"""What the OpenAPI document says of exports, whose answers are files and no messages."""

from typing import Any

from gateway.exports import FILES

_PROBLEM = {"$ref": "#/components/responses/Problem"}
_FILE = {"type": "string", "format": "binary"}
_ABOUT = {
    "leads": "All leads with profile, score and status, by lead id.",
    "events": "All events, and the other facts about leads, whose types start with a dollar sign; by event id.",
    "ledger": "Every change of a score, by lead id and sequence.",
    "quarantine": "What was set apart, by item id.",
    "report": "One page with the leaderboard and the distribution of scores and grades.",
}
_GOES = (
    "The file is sent as it is read, and shows everything as it was at its start. Where something goes wrong on the "
    "way, the connection is broken: a response without its end is no whole file."
)
_OF_A_LEAD = ("events", "ledger")


def _parameter(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _parameters(kind: str) -> list[dict[str, Any]]:
    found = [_parameter("filter", "Only leads that the filter lets pass, as at /v1/leads.")] if kind == "leads" else []
    if kind in _OF_A_LEAD:
        found.append(_parameter("leadId", "Only this lead."))
    return [*found, _parameter("consistencyToken", "Wait until what this token stands for has been scored.")]


def _operation(name: str) -> dict[str, Any]:
    kind, _, ending = name.partition(".")
    media_type = FILES[name][1].media_type
    return {
        "operationId": f"Export{kind.capitalize()}{ending.capitalize()}",
        "tags": ["QueryService"],
        "summary": f"Exports: {kind} as {ending}",
        "description": f"{_ABOUT[kind]} {_GOES}",
        "parameters": _parameters(kind),
        "responses": {
            "200": {"description": "The file.", "content": {media_type: {"schema": _FILE}}},
            **dict.fromkeys(("400", "401", "403", "404", "429", "503", "504"), _PROBLEM),
        },
    }


EXPORT_PATHS: dict[str, Any] = {f"/v1/exports/{name}": {"get": _operation(name)} for name in FILES}
