"""What is kept of a lead between facts, and the facts themselves.

Here and in the other modules of the core, classes of which there is one for each event or lead have an `__init__` that
is written out: the one that a dataclass makes stays Python where the core is compiled, and takes longer than the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.scorer.scoring.tally import Tally

PROFILE = "$profile"
STATUS = "$status"
OWNER = "$owner"
NOTE = "$note"
OVERRIDE = "$override"
ERASURE = "$erasure"
"""The types of facts that are no events: they set keys of the profile, the status, the owner, a note, a score by hand;
or end all that is known of a lead. No event can have them: event types start with a letter."""
FIRST_STATUS = "new"

STATUSES_MAX = 1_000
"""Changes of a lead's status that are kept: of more, the newest."""

DAY_US = 86_400 * 1_000_000
NEVER_US = (1 << 63) - 1
"""Since when a lead is known of whom there is no fact yet. Not 0: that is a time, and senders do send it."""

Since = tuple[int, str]
"""When something was said, and by which fact: of two facts the later one holds, whichever comes first."""


@dataclass(slots=True, init=False)
class Fact:
    """One immutable fact about one lead. Times are microseconds since 1970 (UTC)."""

    event_id: str
    lead_id: str
    type: str
    occurred_us: int
    properties: Mapping[str, Any] | None
    source: str

    def __init__(
        self,
        event_id: str,
        lead_id: str,
        type: str,
        occurred_us: int,
        properties: Mapping[str, Any] | None = None,
        source: str = "",
    ) -> None:
        self.event_id = event_id
        self.lead_id = lead_id
        self.type = type
        self.occurred_us = occurred_us
        self.properties = properties
        self.source = source

    @property
    def is_event(self) -> bool:
        """Whether it is an event that rules may count."""
        return not self.type.startswith("$")


class Override(NamedTuple):
    """A score set by hand. It holds until `until_us` (None: until it is taken back)."""

    score: int
    reason: str
    until_us: int | None = None
    actor: str = ""

    def holds(self, at_us: int) -> bool:
        """Whether it has not ended at a time."""
        return self.until_us is None or at_us < self.until_us


class StatusChange(NamedTuple):
    """Since when a lead has a status, and by which fact."""

    occurred_us: int
    event_id: str
    status: str


NOTHING_SAID: dict[str, Any] = {}
"""Of most leads little is said, and many are kept in memory: they share this. What is said of one is never added to a
dictionary that is there, but put in its place in another one.
"""


def _nothing_said() -> dict[str, Any]:
    return NOTHING_SAID


@dataclass(slots=True)
class Lead:
    """A lead as far as it has been folded.

    What comes from facts: `tallies` by rule; `profile`, `owner` and `override`, and `since` when each of them, and
    each key of the profile, is so; `statuses`, in the order in which they held; when the lead was first heard of, and
    the `source` of its earliest event; the `days` on which it had events, one bit each, from `first_day` on.

    What comes from the formula at `evaluated_us`, by the model `model_version`: the score and its parts, and `lines`,
    which add up to it. `version` counts the changes of the score, `changed_day` is the day of the last one; `letter`,
    `digit` and `above` are the grade and the thresholds as they were announced last.
    """

    lead_id: str
    model_version: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=_nothing_said)
    profile_since: dict[str, Since] = field(default_factory=_nothing_said)
    statuses: tuple[StatusChange, ...] = ()
    owner: str = ""
    override: Override | None = None
    since: dict[str, Since] = field(default_factory=_nothing_said)
    event_count: int = 0
    first_event_us: int | None = None
    last_event_us: int | None = None
    known_since_us: int = NEVER_US
    source: str = ""
    source_since: Since | None = None
    first_day: int = 0
    days: int = 0
    changed_day: int = 0
    version: int = 0
    score: int = 0
    machine_score: int = 0
    engagement: int = 0
    fit: int = 0
    grade: str = ""
    lines: dict[str, float] = field(default_factory=dict)
    evaluated_us: int = 0
    letter: str = ""
    digit: str = ""
    above: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """Where the lead stands in the pipeline."""
        return self.statuses[-1].status if self.statuses else FIRST_STATUS
