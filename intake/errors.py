"""What can go wrong with a file of events, as types with one consequence each.

IntakeError              the import ends; `reason` is a sentence for whoever gave the file
├── MappingRefused       the mapping is not one, or names what does not exist: nothing is read
├── FileRefused          the file as a whole cannot be read, or not further: what was read before is kept
└── ReadingEnded         the bytes stopped coming: what was read before is kept
RowRefused               one row cannot become an event: it is counted and shown, reading goes on
ImportFailed             what `run_import` raises, after it has reported the import as failed
"""

from dataclasses import dataclass

from intake.outcome import ImportSummary


class IntakeError(Exception):
    """The import ends here; `reason` says why, in one sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MappingRefused(IntakeError):
    """The mapping is not one, or names a field that an event does not have."""


class FileRefused(IntakeError):
    """The file is not what it should be: empty, binary, without a column that is needed, damaged."""


class ReadingEnded(IntakeError):
    """The bytes stopped coming before the file's end. For whoever supplies them to raise."""


@dataclass(eq=False)
class RowRefused(Exception):
    """One row cannot become an event. `field` is empty if the row as a whole is meant."""

    field: str
    description: str


class ImportFailed(Exception):
    """The import ended early and is reported as failed; what was read up to there is kept, and it can be run again.

    `__cause__` is the IntakeError, or the `grpc.aio.AioRpcError` with which the service refused or stayed away.
    """

    def __init__(self, reason: str, summary: ImportSummary) -> None:
        super().__init__(reason)
        self.reason = reason
        self.summary = summary
