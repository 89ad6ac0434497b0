"""The states of leads, for a watcher whose resume token is too old: read in slices, in the order of the lead ids."""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from leadscore.score.v1 import score_pb2
from sqlalchemy import Row, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.announcements import Change, Filter
from services.query.reading import snapshot
from services.query.wire import set_times
from services.shared.schema import LEADS

SLICE_LEADS = 500
"""Leads looked at for one slice: a few milliseconds for the database and for us."""
SEPARATOR = "\0"
"""No lead's id has one."""
STATE = (
    LEADS.c.lead_id,
    LEADS.c.score,
    LEADS.c.machine_score,
    LEADS.c.engagement,
    LEADS.c.fit,
    LEADS.c.grade,
    LEADS.c.version,
    LEADS.c.updated_at,
)


class Slice(NamedTuple):
    """The states of leads whose ids follow each other."""

    updates: Sequence[score_pb2.ScoreUpdate]
    after: str | None
    """The lead behind which the next slice begins; None if there is none."""


async def read_slice(engine: AsyncEngine, tenant_id: str, wanted: Filter, after: str) -> Slice:
    """The states of the next leads behind one that pass a filter. Raises Unavailable.

    Each slice is read at a time of its own: what changes meanwhile is announced after it was committed, and so comes
    to whoever reads announcements from a place that was reached before the first slice.
    """
    async with snapshot(engine) as connection:
        rows = (await connection.execute(_slice(tenant_id, wanted, after))).all()
    if not rows:
        return Slice((), None)
    updates = [_update(row) for row in rows if row.score >= wanted.min_score]
    return Slice(updates, rows[-1].lead_id if rows[-1].looked_at == SLICE_LEADS else None)


def _slice(tenant_id: str, wanted: Filter, after: str) -> Select[tuple[object, ...]]:
    """The leads of a slice with the score that is wanted, and in any case the last one. So each slice costs the same,
    however few leads pass.
    """
    leads = select(*STATE).where(LEADS.c.tenant_id == tenant_id, LEADS.c.lead_id > after)
    if wanted.lead_ids:
        leads = leads.where(LEADS.c.lead_id.in_([each for each in wanted.lead_ids if SEPARATOR not in each]))
    near = leads.order_by(LEADS.c.lead_id).limit(SLICE_LEADS).subquery()
    counted = select(near, func.max(near.c.lead_id).over().label("last"), func.count().over().label("looked_at"))
    found = counted.subquery()
    passing = or_(found.c.score >= wanted.min_score, found.c.lead_id == found.c.last)
    return select(found).where(passing).order_by(found.c.lead_id)


def _update(row: Row[tuple[object, ...]]) -> score_pb2.ScoreUpdate:
    update = score_pb2.ScoreUpdate(
        lead_id=row.lead_id,
        previous_score=row.score,
        score=row.score,
        machine_score=row.machine_score,
        engagement=row.engagement,
        fit=row.fit,
        previous_grade=row.grade,
        grade=row.grade,
        version=row.version,
    )
    set_times(update, recorded_at=row.updated_at)
    return update


class Seen:
    """Which version of each lead a watcher has seen as a state, so that it is not told again what led there. There may
    be millions of leads, so it is some twenty bytes for each.
    """

    def __init__(self) -> None:
        self._first: list[str] = []
        self._ids: list[str] = []
        self._versions: list[array[int]] = []
        self._ended: set[str] = set()

    def add(self, updates: Sequence[score_pb2.ScoreUpdate]) -> None:
        """Takes in a slice; slices come in the order of the lead ids."""
        if updates:
            ids = [update.lead_id for update in updates]
            self._first.append(ids[0])
            self._ids.append(SEPARATOR.join(["", *ids, ""]))
            self._versions.append(array("q", [update.version for update in updates]))

    def version(self, lead_id: str) -> int:
        """The version that was shown of a lead; -1 if none was, or if the lead has ended since."""
        if lead_id in self._ended:
            return -1
        index = bisect_right(self._first, lead_id) - 1
        at = self._ids[index].find(f"{SEPARATOR}{lead_id}{SEPARATOR}") if index >= 0 else -1
        return -1 if at < 0 else self._versions[index][self._ids[index].count(SEPARATOR, 0, at)]

    def newer(self, changes: Sequence[Change]) -> Sequence[Change]:
        """The changes that came after what was shown. Behind its end a lead is a new one, whose versions begin anew."""
        found = []
        for change in changes:
            if change.version > self.version(change.lead_id):
                found.append(change)
                if change.erases:
                    self._ended.add(change.lead_id)
        return found
