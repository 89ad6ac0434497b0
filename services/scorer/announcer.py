"""Tells watchers what was committed, once and in order; also what a dead scorer committed and did not tell any more."""

import logging
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.scorer.announcements import Announcement
from services.shared.bus import Bus

LEFT_BEHIND = text(
    "SELECT announcement_id, tenant_id, payload FROM outbox WHERE scorer_id = :me OR scorer_id NOT IN "
    "(SELECT scorer_id FROM scorers WHERE alive_until > now()) ORDER BY committed_at, number"
)
REMOVE = text("DELETE FROM outbox WHERE announcement_id = ANY(:told)")

logger = logging.getLogger(__name__)


class Announcer:
    """Publishes announcements."""

    def __init__(self, bus: Bus, engine: AsyncEngine, scorer_id: str) -> None:
        self._bus = bus
        self._engine = engine
        self._scorer_id = scorer_id
        self.told: list[str] = []
        """What is announced and may still be in the outbox; the next transaction takes it out."""

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        """Publishes, in this order. Raises Unavailable if that is not certain; a repeat is recognised by its id."""
        if announcements:
            await self._bus.announce([(each.tenant_id, each.payload, each.announcement_id) for each in announcements])
            self.told += [each.announcement_id for each in announcements]

    def forget(self, announcement_ids: Sequence[str]) -> None:
        """These are out of the outbox."""
        self.told = [each for each in self.told if each not in announcement_ids]

    async def clear_outbox(self) -> None:
        """Takes what has been announced out of the outbox."""
        if told := list(self.told):
            async with self._engine.begin() as connection:
                await connection.execute(REMOVE, {"told": told})
            self.forget(told)

    async def announce_left_behind(self) -> None:
        """Publishes what was committed and is not known to be announced, by this scorer or by one that is dead."""
        await self.clear_outbox()
        async with self._engine.connect() as connection:
            rows = (await connection.execute(LEFT_BEHIND, {"me": self._scorer_id})).all()
        if rows:
            logger.info("announces %d messages that were committed and not announced", len(rows))
            await self.announce([Announcement(row.announcement_id, row.tenant_id, row.payload) for row in rows])
            await self.clear_outbox()
