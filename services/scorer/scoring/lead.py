"""What is kept of a lead between facts, and the facts themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PROFILE = "$profile"
"""The type of a fact that sets keys of the profile. No event can have it: event types start with a letter."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One immutable fact about one lead. Times are microseconds since 1970 (UTC)."""

    event_id: str
    lead_id: str
    type: str
    occurred_us: int
    properties: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Lead:
    """A lead as far as it has been folded.

    `counts` has the number of counted events by rule; `profile_since` when each key of the profile was set, and by
    which event: that decides between two facts, whichever comes first. `version` counts the changes of the score.
    """

    lead_id: str
    counts: dict[str, int] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    profile_since: dict[str, tuple[int, str]] = field(default_factory=dict)
    event_count: int = 0
    first_event_us: int | None = None
    last_event_us: int | None = None
    version: int = 0
    score: int = 0
    engagement: int = 0
    fit: int = 0
    grade: str = ""
