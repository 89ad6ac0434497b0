"""What kind of file it is: as given, else by its name, its content type, or its first character."""

from intake.csv_rows import CsvRows
from intake.errors import FileRefused
from intake.json_rows import SPACE
from intake.mapping import DELIMITERS
from intake.rows import RejectedRow

UTF8_MARK = b"\xef\xbb\xbf"

SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".json": "json",
    ".ndjson": "ndjson", ".jsonl": "ndjson", ".ldjson": "ndjson",
}  # fmt: skip
CONTENT_TYPES = {
    "text/csv": "csv", "application/csv": "csv", "text/tab-separated-values": "csv", "application/json": "json",
    "application/x-ndjson": "ndjson", "application/ndjson": "ndjson", "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
}  # fmt: skip

BINARY = {
    b"PK\x03\x04": "a ZIP archive or a spreadsheet (save it as CSV)",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet (save it as CSV)",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"PAR1": "a Parquet file",
    b"\x28\xb5\x2f\xfd": "Zstandard data (only gzip is inflated)",
    b"BZh": "bzip2 data (only gzip is inflated)",
    b"\xfd7zXZ": "XZ data (only gzip is inflated)",
    b"\x1f\x8b": "gzip inside gzip",
    b"\xff\xfe": "UTF-16 text (save it as UTF-8)",
    b"\xfe\xff": "UTF-16 text (save it as UTF-8)",
}
"""How files begin that people take for text."""


def without_mark(head: bytes) -> bytes:
    """The first bytes of a text without the mark that some programs put before it."""
    return head.removeprefix(UTF8_MARK)


def refuse_binary(head: bytes) -> None:
    """Raises FileRefused for the first bytes of a file that is no text."""
    for magic, name in BINARY.items():
        if head.startswith(magic):
            raise FileRefused(f"the file is {name}")
    first_line = head.split(b"\n", 1)[0]
    if b"\0" in first_line:
        raise FileRefused("the file is binary: its first line holds NUL bytes")


def recognise_format(head: bytes, file_name: str, content_type: str) -> str:
    """The format of a file that begins with `head`."""
    name = file_name.lower().removesuffix(".gz")
    for suffix, format in SUFFIXES.items():
        if name.endswith(suffix):
            return format
    by_first_character = {b"[": "json", b"{": "ndjson"}.get(head.lstrip(SPACE)[:1], "csv")
    return CONTENT_TYPES.get(content_type.partition(";")[0].strip().lower(), by_first_character)


def recognise_delimiter(head: bytes) -> str:
    """The delimiter that parts the header into most columns; a comma if none does."""
    return max(DELIMITERS, key=lambda delimiter: _columns(head, delimiter))


def _columns(head: bytes, delimiter: str) -> int:
    rows = CsvRows(delimiter)
    for found in (*rows.feed(head), *rows.finish()):
        return 0 if isinstance(found, RejectedRow) else len(found[1])
    return 0
