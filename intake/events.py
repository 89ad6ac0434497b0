"""From rows to events: the last place where a file's own words are known."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from leadscore.event.v1.event_pb2 import Event

from intake.errors import FileRefused, RowRefused
from intake.identity import RowIds
from intake.json_rows import Object, decode_object
from intake.mapping import FIELDS, METADATA, REQUIRED, Mapping
from intake.times import parse_time

SHOWN_CHARACTERS_MAX = 80
"""Of a value that is shown in a message."""
COLUMNS_SHOWN_MAX = 20
COLUMNS_MAX = 1_000
"""More columns than this are a matrix, not events."""

TIME_WORDS = frozenset({
    "createdat", "date", "datetime", "eventdate", "eventtime", "eventtimestamp", "occuredat", "occurredat",
    "originaltimestamp", "receivedat", "sentat", "time", "timestamp", "ts",
})  # fmt: skip
"""Columns that very likely say when it happened, letters and digits alone."""

Time = tuple[int, int]


class _Events:
    """What the two kinds of rows have in common."""

    def __init__(self, mapping: Mapping, ids: RowIds) -> None:
        self._mapping = mapping
        self._ids = ids

    def where(self, field: str) -> str:
        """For messages: the column behind a field such as "lead_id" or "properties.budget", if it has another name."""
        column = self._mapping.columns.get(field.partition(".")[0])
        return f" (column {shown(column)})" if column and column != field else ""

    def _refused(self, field: str, description: str) -> RowRefused:
        return RowRefused(field, description + self.where(field))

    def _time(self, text: str) -> Time:
        try:
            return parse_time(text, self._mapping.zone)
        except ValueError as error:
            raise self._refused("occurred_at", f"{shown(text)} is not a time: {error}") from None

    def _build(
        self, event_id: str, lead_id: str, kind: str, time: Time | None, source: str, properties: Object
    ) -> Event:
        kind = self._mapping.types.get(kind, kind)
        event = Event()
        try:
            event.lead_id = lead_id
            event.type = kind
            event.source = source
            if properties:
                event.properties.update(properties)
            event.event_id = event_id or self._ids.make(lead_id, kind, time, source, properties)
        except UnicodeEncodeError:
            raise self._not_text(event_id, lead_id, kind, source, properties) from None
        except OverflowError:
            raise self._refused("properties", "hold a number that is out of range") from None
        if time is not None:
            event.occurred_at.seconds, event.occurred_at.nanos = time
        return event

    def _not_text(self, event_id: str, lead_id: str, kind: str, source: str, properties: Object) -> RowRefused:
        texts = {"event_id": event_id, "lead_id": lead_id, "type": kind, "source": source}
        texts |= {f"properties.{key}": f"{key}{value}" for key, value in properties.items()}
        field = next((field for field, text in texts.items() if not _is_text(text)), "")
        return self._refused(field, "is not UTF-8 text")


class ColumnEvents(_Events):
    """Makes events of the rows below a header. Raises FileRefused if the header does not fit the mapping."""

    def __init__(self, header: Sequence[str], mapping: Mapping, ids: RowIds) -> None:
        super().__init__(mapping, ids)
        columns = [name.strip() or f"column_{number}" for number, name in enumerate(header, start=1)]
        _check_header(columns, mapping)
        found = {field: _column_of(field, columns, mapping) for field in FIELDS}
        _check_found(found, columns, mapping)
        at = {field: columns.index(name) for field, name in found.items() if name}
        self._width = len(columns)
        self._lead_id, self._type = at["lead_id"], at["type"]
        self._event_id, self._occurred_at, self._source = (
            at.get(field, -1) for field in ("event_id", "occurred_at", "source")
        )
        self._object = at.get("properties", -1)
        self._object_is_needed = found["properties"] != METADATA or "properties" in mapping.columns
        self._object_name = found["properties"]
        taken = set(at.values())
        self._others = [
            (name, index) for index, name in enumerate(columns) if index not in taken and mapping.keeps(name)
        ]

    def event(self, cells: Sequence[str]) -> Event:
        """The event in a row. Raises RowRefused."""
        if len(cells) != self._width:
            raise RowRefused("", f"has {len(cells)} fields, but the header has {self._width}")
        time_text = cells[self._occurred_at].strip() if self._occurred_at >= 0 else ""
        return self._build(
            cells[self._event_id] if self._event_id >= 0 else "",
            cells[self._lead_id],
            cells[self._type],
            self._time(time_text) if time_text else None,
            cells[self._source] if self._source >= 0 else "",
            self._properties(cells) if self._others or self._object >= 0 else {},
        )

    def _properties(self, cells: Sequence[str]) -> Object:
        properties: Object = {name: cells[index] for name, index in self._others if cells[index]}
        cell = cells[self._object].strip() if self._object >= 0 else ""
        if cell.startswith("{") or (cell and self._object_is_needed):
            properties |= self._decode(cell)
        elif cell and self._mapping.keeps(self._object_name):
            properties[self._object_name] = cell
        return properties

    def _decode(self, cell: str) -> Object:
        try:
            return decode_object(cell.encode("utf-8", "surrogateescape"))
        except RowRefused as refused:
            raise self._refused("properties", f"{refused.field} {refused.description}".strip()) from None


class ObjectEvents(_Events):
    """Makes events of JSON objects."""

    def __init__(self, mapping: Mapping, ids: RowIds) -> None:
        super().__init__(mapping, ids)
        self._names = {field: _names_of(field, mapping) for field in FIELDS}
        self._taken = {name for names in self._names.values() for name in names}
        self._needed = {field for field in (*REQUIRED, "occurred_at") if mapping.columns.get(field)} | set(REQUIRED)

    def event(self, row: Object) -> Event:
        """The event in a row. Raises RowRefused."""
        occurred_at = self._find(row, "occurred_at")
        if occurred_at is None and (column := _unmapped_time(row, self._taken, self._mapping)):
            raise RowRefused("occurred_at", _advice_on_time(column))
        return self._build(
            self._text(row, "event_id"),
            self._text(row, "lead_id"),
            self._text(row, "type"),
            self._time_of(occurred_at),
            self._text(row, "source"),
            self._properties(row),
        )

    def _find(self, row: Object, field: str) -> Any:
        names = [name for name in self._names[field] if name in row]
        if len(names) > 1:
            raise self._refused(field, f"is given twice, as {names[0]!r} and {names[1]!r}")
        if not names and field in self._needed:
            raise self._refused(field, "is missing")
        return row[names[0]] if names else None

    def _text(self, row: Object, field: str) -> str:
        value = self._find(row, field)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._refused(field, f"must be a string, not {shown(value)}")
        return value

    def _time_of(self, value: Any) -> Time | None:
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise self._refused("occurred_at", f"must be a string or a number, not {shown(value)}")
        return self._time(value.strip() if isinstance(value, str) else str(value))

    def _properties(self, row: Object) -> Object:
        properties = {
            name: value for name, value in row.items() if name not in self._taken and self._mapping.keeps(name)
        }
        given = self._find(row, "properties")
        if given is None and "properties" not in self._mapping.columns and isinstance(row.get(METADATA), dict):
            properties.pop(METADATA, None)
            given = row[METADATA]
        if given is None:
            return properties
        if not isinstance(given, dict):
            raise self._refused("properties", f"must be an object, not {shown(given)}")
        return properties | given


def shown(value: object) -> str:
    """A value as messages show it: quoted, escaped and cut."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}..."


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _names_of(field: str, mapping: Mapping) -> tuple[str, ...]:
    """The names under which a field is looked for."""
    if field not in mapping.columns:
        return FIELDS[field]
    return (mapping.columns[field],) if mapping.columns[field] else ()


def _column_of(field: str, columns: Sequence[str], mapping: Mapping) -> str:
    """The column that holds a field; empty if none does."""
    found = [name for name in _names_of(field, mapping) if name in columns]
    if len(found) > 1:
        raise FileRefused(f"the field {field!r} has two columns, {found[0]!r} and {found[1]!r}; map it to one of them")
    if found:
        return found[0]
    if mapping.columns.get(field):
        raise FileRefused(
            f"the file has no column {mapping.columns[field]!r}, to which {field!r} is mapped; it has {_list(columns)}"
        )
    return METADATA if field == "properties" and field not in mapping.columns and METADATA in columns else ""


def _check_header(columns: Sequence[str], mapping: Mapping) -> None:
    if len(columns) > COLUMNS_MAX:
        raise FileRefused(f"the header has {len(columns)} columns; at most {COLUMNS_MAX} are read")
    seen: set[str] = set()
    for name in columns:
        if name in seen:
            raise FileRefused(f"the header has the column {shown(name)} twice")
        if not _is_text(name) or not name.isprintable():
            raise FileRefused(f"the header has a column {shown(name)}: the file is binary, or not UTF-8")
        seen.add(name)
    if missing := sorted((mapping.kept or set()) - seen):
        raise FileRefused(f"the file has no column {shown(missing[0])} to keep as a property; it has {_list(columns)}")


def _check_found(found: dict[str, str], columns: Sequence[str], mapping: Mapping) -> None:
    missing = [field for field in REQUIRED if not found[field]]
    if missing:
        raise FileRefused(
            f"the file has no column {' and no column '.join(map(repr, missing))}; it has {_list(columns)}. "
            f"Map each to the column that holds it: {missing[0]}=<column>"
        )
    if not found["occurred_at"] and (column := _unmapped_time(columns, found.values(), mapping)):
        raise FileRefused(_advice_on_time(column))


def _list(columns: Sequence[str]) -> str:
    listed = ", ".join(shown(name) for name in columns[:COLUMNS_SHOWN_MAX])
    return f"{listed} and {len(columns) - COLUMNS_SHOWN_MAX} more" if len(columns) > COLUMNS_SHOWN_MAX else listed


def _unmapped_time(names: Iterable[str], taken: Collection[str], mapping: Mapping) -> str:
    """The first name not taken that very likely says when it happened; empty if there is none, or it is not wanted.

    Events of a file whose times were overlooked would all be dated now, and could not be corrected later: their ids are
    then taken by the wrong content.
    """
    if "occurred_at" in mapping.columns:
        return ""
    likely = (name for name in names if "".join(filter(str.isalnum, name)).lower() in TIME_WORDS)
    return next((name for name in likely if name not in taken), "")


def _advice_on_time(column: str) -> str:
    return (
        f"no time is given, but {shown(column)} looks like one: map occurred_at to it, or to '' to date the events now"
    )
