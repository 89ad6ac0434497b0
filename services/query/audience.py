"""Who watches a tenant, found by what is announced: thousands whom it does not concern cost nothing."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TypeVar

from services.query.announcements import Announcement, Filter
from services.query.backlog import Backlogs, Room
from services.query.watcher import Watcher

Key = TypeVar("Key")


class Audience:
    """The watchers of one tenant."""

    def __init__(self, room: Room) -> None:
        self.backlogs = Backlogs(room)
        """What waits for those who are slow."""
        self._watchers: set[Watcher] = set()
        self._of_all_leads: defaultdict[Filter, set[Watcher]] = defaultdict(set)
        self._by_lead: defaultdict[str, set[Watcher]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._watchers)

    def __iter__(self) -> Iterator[Watcher]:
        return iter(self._watchers)

    def add(self, watcher: Watcher) -> None:
        """Has a watcher found from now on."""
        self._watchers.add(watcher)
        if not watcher.wanted.lead_ids:
            self._of_all_leads[watcher.wanted].add(watcher)
        for lead_id in watcher.wanted.lead_ids:
            self._by_lead[lead_id].add(watcher)

    def discard(self, watcher: Watcher) -> None:
        """Has it not found any more."""
        self._watchers.discard(watcher)
        if not watcher.wanted.lead_ids:
            _discard(self._of_all_leads, watcher.wanted, watcher)
        for lead_id in watcher.wanted.lead_ids:
            _discard(self._by_lead, lead_id, watcher)

    def of(self, announcement: Announcement) -> set[Watcher]:
        """Those who may want something of an announcement. Filters that are the same are asked once."""
        of_all = [watchers for wanted, watchers in self._of_all_leads.items() if wanted.may_want(announcement)]
        followed = self._by_lead.keys() & announcement.by_lead.keys()
        return set[Watcher]().union(*of_all, *(self._by_lead[lead_id] for lead_id in followed))


def _discard(groups: dict[Key, set[Watcher]], key: Key, watcher: Watcher) -> None:
    groups[key].discard(watcher)
    if not groups[key]:
        del groups[key]
