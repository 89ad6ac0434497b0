"""The logs of the parts: what is worth knowing comes to the terminal, and none grows without end."""

import asyncio
import contextlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from cli.up.supervisor import Say
from embedded.child import Child

LOOK_INTERVAL_S = 1.0
LOG_BYTES_MAX = 16 * 1024 * 1024
"""A log that has grown to this is kept aside once, and begun anew."""
READ_BYTES_MAX = 256 * 1024
"""What one look takes in; a part that writes more than that in a second is passed over in part."""
LINES_MAX = 3
"""Of one part at one look; the rest is in its log."""

WORTH_KNOWING = re.compile(
    r"^\S+ \S+ (?:WARNING|ERROR|CRITICAL) +\S+: (?P<service>.*)"
    r"|^\[\d+\] \S+ \S+ \[(?:ERR|FTL)\] (?P<nats>.*)"
    r"|^.* (?P<postgres>PANIC: .*|ERROR: .*No space left on device.*)"
)
"""Lines of our services, of nats-server and of PostgreSQL, whose errors are mostly answers to its clients."""


class LogFollower:
    """Reads what a part adds to its log."""

    def __init__(self, name: str, log: Path) -> None:
        self._name = name
        self._log = log
        self._place = self._size()

    def look(self) -> list[str]:
        """What came since the last look and is worth knowing, a line each."""
        size = self._size()
        if size < self._place:
            self._place = 0
        if size == self._place:
            return []
        found = [f"{self._name}: {line}" for line in _worth_knowing(self._read(size))]
        self._place = size
        if size > LOG_BYTES_MAX:
            self._begin_anew()
        more = len(found) - LINES_MAX
        return found if more <= 0 else [*found[:LINES_MAX], f"{self._name}: {more} more such lines in {self._log}"]

    def _size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    def _read(self, size: int) -> str:
        with self._log.open("rb") as log:
            log.seek(max(self._place, size - READ_BYTES_MAX))
            return log.read(READ_BYTES_MAX).decode(errors="replace")

    def _begin_anew(self) -> None:
        """Cut off in place: the part goes on writing at the end of the same file."""
        shutil.copyfile(self._log, self._log.with_suffix(".log.1"))
        with self._log.open("r+b") as log:
            log.truncate()
        self._place = 0


def _worth_knowing(text: str) -> list[str]:
    found = (WORTH_KNOWING.match(line) for line in text.splitlines())
    return [match[match.lastgroup or 0] for match in found if match]


class LogWatch:
    """Follows the logs of all parts."""

    def __init__(self, children: Sequence[Child], say: Say) -> None:
        self._followers = [LogFollower(child.name, child.log) for child in children]
        self._say = say

    async def run(self) -> None:
        """Looks now and then, for ever."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            for follower in self._followers:
                # A full disk is no reason to stop what can go on.
                with contextlib.suppress(OSError):
                    for line in follower.look():
                        self._say(line)
