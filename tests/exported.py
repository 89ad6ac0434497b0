"""Rows for exports, awkward ones among them, and files read back with the standard library and pyarrow."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import psycopg
import pyarrow
from leadscore.query.v1 import export_pb2 as query
from psycopg import sql
from psycopg.types.json import Jsonb
from pyarrow import parquet

TENANT = "demo"
AT = datetime(2026, 10, 1, 9, 30, tzinfo=UTC)
LATER = datetime(2026, 10, 2, 0, 0, 0, 123456, tzinfo=UTC)
AWKWARD = [
    "plain",
    "=1+1",
    "+49 30",
    "-5",
    "@me",
    "'quoted",
    "''",
    "a,b",
    'say "hi"',
    "two\nlines",
    "\ttab",
    "ä☃\U0001f984",
    " ",
]
KINDS = {
    "leads": query.EXPORT_KIND_LEADS,
    "events": query.EXPORT_KIND_EVENTS,
    "ledger": query.EXPORT_KIND_LEDGER,
    "quarantine": query.EXPORT_KIND_QUARANTINE,
}
FORMATS = {
    "csv": query.EXPORT_FORMAT_CSV,
    "ndjson": query.EXPORT_FORMAT_NDJSON,
    "parquet": query.EXPORT_FORMAT_PARQUET,
}
CAUSES = {1: "EVENT", 3: "DECAY"}
REASONS = {1: "CONFLICT", 2: "POISON"}
STATES = {1: "HELD", 2: "RELEASED", 3: "DROPPED"}
JSON_COLUMNS = {"profile", "properties", "contributions", "crossings"}
TIME_COLUMNS = {
    "first_event_at", "last_event_at", "updated_at", "occurred_at", "received_at", "recorded_at", "quarantined_at",
    "decided_at",
}  # fmt: skip


def lead(number: int, text: str) -> dict[str, Any]:
    return {
        "lead_id": f"{text}#{number}", "partition": number % 3, "score": number - 2, "machine_score": number,
        "engagement": number, "fit": 0, "grade": "A1", "version": 2**40 + number, "event_count": number,
        "first_event_at": None if number % 2 else AT, "last_event_at": None if number % 2 else LATER,
        "profile": {"name": text, "n": [1.5, None, True]} if number else {}, "status": text,
        "owner": "" if number % 2 else text, "source": "web", "model_version": 1, "updated_at": LATER, "state": b"\0",
    }  # fmt: skip


def event(number: int, text: str) -> dict[str, Any]:
    return {
        "event_id": f"{text}#{number}", "lead_id": f"lead-{number % 2}",
        "type": "$note" if number == 3 else "page view",
        "occurred_at": AT, "received_at": LATER, "source": text, "digest": b"\1",
        "properties": {text: {"deep": [text, 2**53, -0.25]}} if number % 3 else None,
    }  # fmt: skip


def change(number: int, text: str) -> dict[str, Any]:
    lines = [{"rule": text, "count": 1, "points": -0.5}]
    crossings = [{"threshold": "grade", "before": "B2", "after": "A1"}] if number % 2 else None
    return {
        "lead_id": f"lead-{number % 2}", "sequence": number + 1, "delta": -number, "score_before": 2 * number,
        "score_after": number, "cause": 1 if number % 2 else 3, "event_id": text, "type": text,
        "occurred_at": AT if number % 2 else None, "recorded_at": LATER, "model_version": 1, "contributions": lines,
        "crossings": crossings,
    }  # fmt: skip


def item(number: int, text: str) -> dict[str, Any]:
    return {
        "item_id": number + 1, "event_id": text, "digest": bytes([number]), "lead_id": text, "reason": 1 + number % 2,
        "detail": text, "standing_lead_id": text, "type": "$profile" if number == 2 else "page_view",
        "occurred_at": AT if number % 2 else None, "received_at": LATER, "source": text,
        "properties": {"a": text} if number % 2 else None, "quarantined_at": LATER, "state": 1 + number % 3,
        "decided_at": None if number % 3 else LATER, "decided_by": "", "note": text, "released_event_id": "",
    }  # fmt: skip


MAKERS = {"leads": lead, "events": event, "ledger": change, "quarantine": item}
KEYS = {"leads": ("lead_id",), "events": ("event_id",), "ledger": ("lead_id", "sequence"), "quarantine": ("item_id",)}


def fill(url: str, table: str, rows: list[dict[str, Any]], tenant_id: str = TENANT) -> None:
    """Stores rows of a table."""
    names = [sql.Identifier(name) for name in ("tenant_id", *rows[0])]
    statement = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})").format(
        sql.Identifier(table), sql.SQL(", ").join(names), sql.SQL(", ").join([sql.Placeholder()] * len(names))
    )
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        values = [[Jsonb(each) if isinstance(each, (dict, list)) else each for each in row.values()] for row in rows]
        cursor.executemany(statement, [[tenant_id, *row] for row in values])


def expected(kind: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as plain values with the contract's names, in the order of an export."""
    ordered = sorted(
        rows,
        key=lambda row: [str(row[name]).encode() if isinstance(row[name], str) else row[name] for name in KEYS[kind]],
    )
    found = []
    for stored in ordered:
        row = {name: value for name, value in stored.items() if name not in ("partition", "state", "digest")}
        if kind == "ledger":
            row |= {"cause": CAUSES[row["cause"]], "crossings": row["crossings"] or []}
        if kind == "quarantine":
            fact = row["type"].startswith("$")
            row |= {"kind": row["type"][1:] if fact else "event", "type": "" if fact else row["type"]}
            row |= {"reason": REASONS[row["reason"]], "state": STATES[stored["state"]]}
        found.append(row)
    return found


def read(name: str, data: bytes) -> list[dict[str, Any]]:
    return {"csv": read_csv, "ndjson": read_ndjson, "parquet": read_parquet}[name](data)


def read_csv(data: bytes) -> list[dict[str, Any]]:
    def value(name: str, cell: str) -> Any:
        if name in TIME_COLUMNS or name in JSON_COLUMNS:
            if not cell:
                return None
            return json.loads(cell) if name in JSON_COLUMNS else to_time(cell)
        if name in NUMBERS:
            return int(cell)
        return cell[1:] if cell.startswith("'") else cell

    header, *rows = csv.reader(io.StringIO(data.decode(), newline=""), strict=True)
    return [{name: value(name, cell) for name, cell in zip(header, row, strict=True)} for row in rows]


def read_ndjson(data: bytes) -> list[dict[str, Any]]:
    found = []
    for line in data.decode().splitlines():
        row = {
            "".join(f"_{c.lower()}" if c.isupper() else c for c in name): value
            for name, value in json.loads(line).items()
        }
        found.append({name: to_time(value) if name in TIME_COLUMNS else value for name, value in row.items()})
    return found


def read_parquet(data: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(pyarrow.BufferReader(data)).to_pylist()
    return [
        {name: json.loads(value) if name in JSON_COLUMNS and value else value for name, value in row.items()}
        for row in rows
    ]


NUMBERS = {
    "score", "machine_score", "engagement", "fit", "version", "event_count", "model_version", "sequence", "delta",
    "score_before", "score_after", "item_id",
}  # fmt: skip


def to_time(text: str) -> datetime:
    assert len(text) == len("2026-10-01T09:30:00.000000Z") and text.endswith("Z")
    return datetime.fromisoformat(text)
