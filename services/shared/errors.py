"""What can go wrong, as types with one consequence each. `statuses` maps those that a caller may see to gRPC codes.

LeadscoreError
├── SettingError            the environment is wrong: the process says so in a sentence and does not start
├── CallerError             the caller sees it
│   ├── InvalidRequest      INVALID_ARGUMENT with the fields
│   ├── Unauthenticated     UNAUTHENTICATED
│   ├── PermissionDenied    PERMISSION_DENIED
│   ├── NotFound            NOT_FOUND
│   ├── FailedPrecondition  FAILED_PRECONDITION: it is in no state for that; a repeat will not help
│   ├── EditedMeanwhile     ABORTED: it was changed by somebody else; read it again
│   ├── TooMany             RESOURCE_EXHAUSTED: there are as many of them as there may be
│   ├── NotCaughtUp         DEADLINE_EXCEEDED: the scorer has not got to the consistency token
│   ├── TimedOut            DEADLINE_EXCEEDED: the call took longer than any call may
│   ├── StreamFull          RESOURCE_EXHAUSTED with a retry delay: nothing was accepted
│   └── Unavailable         UNAVAILABLE with a retry delay: the outcome is unknown, a retry with the same ids is safe
├── StreamInterrupted       reading the stream is in doubt: read again from the committed position
├── StreamRebuilt           the stream was lost and made anew: the process ends, a person decides
└── OwnershipLost           another scorer has the partition: stop working on it
"""

from dataclasses import dataclass


class LeadscoreError(Exception):
    """The root of all errors of the suite."""


class SettingError(LeadscoreError):
    """The environment is wrong."""


@dataclass(frozen=True)
class FieldViolation:
    """A field of a request and what is wrong with it."""

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


class CallerError(LeadscoreError):
    """An error that the caller sees: `reason` is stable, for programs; the message is for people."""

    reason = "INTERNAL"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason


class InvalidRequest(CallerError):
    """A request that breaks its contract."""

    reason = "INVALID_REQUEST"

    def __init__(self, violations: list[FieldViolation]) -> None:
        shown = "; ".join(str(each) for each in violations[:3])
        rest = f"; and {len(violations) - 3} more" if len(violations) > 3 else ""
        super().__init__(shown + rest)
        self.violations = violations


class Unauthenticated(CallerError):
    """No key, or one that is not known."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(CallerError):
    """The key may not do that."""

    reason = "PERMISSION_DENIED"


class NotFound(CallerError):
    """Nothing is known of what was asked for."""

    reason = "NOT_FOUND"


class FailedPrecondition(CallerError):
    """What was asked for is in no state for that."""

    reason = "FAILED_PRECONDITION"


class EditedMeanwhile(CallerError):
    """What was to be changed has been changed by somebody else."""

    reason = "EDITED_MEANWHILE"


class TooMany(CallerError):
    """There are as many of them as there may be."""

    reason = "TOO_MANY"


class NotCaughtUp(CallerError):
    """The scorer did not get to the consistency token within the deadline."""

    reason = "NOT_CAUGHT_UP"


class TimedOut(CallerError):
    """The call took longer than any call may."""

    reason = "TIMED_OUT"


class RetriableError(CallerError):
    """An error after which the same request may be sent again, after `retry_after_s` seconds."""

    retry_after_s = 1.0


class StreamFull(RetriableError):
    """The stream has reached its limit; nothing was accepted."""

    reason = "STREAM_FULL"
    retry_after_s = 5.0


class Unavailable(RetriableError):
    """A part that is needed is away, or did not answer in time."""

    reason = "UNAVAILABLE"


class StreamInterrupted(LeadscoreError):
    """Messages may be missing: read again from the committed position."""


class StreamRebuilt(LeadscoreError):
    """The stream is behind what was committed from it: it is not the same stream any more."""


class OwnershipLost(LeadscoreError):
    """Another scorer has taken a partition over."""
