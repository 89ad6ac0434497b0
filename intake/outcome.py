"""What became of an import."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What became of a file's rows, as ingest answered. A batch that had to be sent again may be answered with
    duplicates that are its own first try; what counts in the end, the query service knows: ask it for the import, with
    this token.
    """

    import_id: str
    rows_read: int
    accepted: int
    duplicates: int
    rejected: int
    consistency_token: str
