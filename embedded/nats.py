"""A real nats-server with JetStream, from its wheel."""

import asyncio
import json
import os
import shutil
import sysconfig
from pathlib import Path

from embedded.child import Child, StartError, end_leftovers, server_environment
from embedded.ports import ReservedPort
from embedded.probe import http_status
from embedded.secret import read_or_make, write_private

HOST = "127.0.0.1"
USER = "leadscore"
START_DEADLINE_S = 120.0
"""Reading a large store back after a kill takes its time."""
LOOK_S = 0.02
"""How often a starting server is asked whether it is ready."""
HEALTH_TIMEOUT_S = 3.0
STOP_GRACE_S = 5.0
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
"""Twice the largest request that ingest takes, as one message."""
STORE_BYTES_MAX = 1 << 40
"""No bound of its own: the streams have theirs. The default would refuse them on a disk that is not large."""

CONFIG = """\
# Written at every start.
server_name: leadscore
listen: {host}:{port}
http: {host}:{monitor_port}
max_payload: {max_payload}
authorization {{ user: {user}, password: {password} }}
jetstream {{
  store_dir: {store}
  # Acknowledged means on disk.
  sync_interval: always
  max_file_store: {store_bytes_max}
}}
"""


class NatsServer:
    """A nats-server on this machine, whose data lives in `folder`. One object at a time may use a folder.

    It listens on the loopback address only, and asks for a password that is in `folder`. After `kill` or when it died
    by itself it keeps its ports, so that `start` brings it back where its clients expect it.
    """

    name = "nats-server"

    def __init__(self, folder: Path, port: int = 0, *, log: Path | None = None) -> None:
        """`port` 0 stands for a free one. The log goes to `log`, by default into `folder`."""
        self._folder = folder.absolute()
        self._port_number = port
        self._log = log or self._folder / "nats-server.log"
        self._port: ReservedPort | None = None
        self._monitor_port: ReservedPort | None = None
        self._child: Child | None = None
        self._password = ""

    def reserve(self) -> None:
        """Takes the port and makes the password that `start` will use, if it has not done so: `url` is known then."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._password = read_or_make(self._folder / "password")
        self._port = self._port or ReservedPort(HOST, self._port_number)
        self._port_number = self._port.number

    @property
    def port(self) -> int:
        """Where clients connect. Only after `reserve`."""
        assert self._port is not None
        return self._port.number

    @property
    def monitor_port(self) -> int:
        """Where it answers questions about itself over HTTP. Only after `start`."""
        assert self._monitor_port is not None
        return self._monitor_port.number

    @property
    def url(self) -> str:
        """`nats://...` with user and password. Only after `reserve`."""
        return f"nats://{USER}:{self._password}@{HOST}:{self.port}"

    @property
    def child(self) -> Child:
        """The process. Only after `start`."""
        assert self._child is not None
        return self._child

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child is not None and self._child.alive

    async def start(self) -> None:
        """Starts the server and waits until it is ready. Raises StartError if it does not get there."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        await end_leftovers(self._folder)
        self.reserve()
        self._monitor_port = self._monitor_port or ReservedPort(HOST, 0)
        self._write_config()
        command = [_binary(), "--config", str(self._config)]
        self._child = Child(self.name, command, log=self._log, folder=self._folder, environment=server_environment())
        self._child.start()
        await self._ready()

    @property
    def _config(self) -> Path:
        return self._folder / "nats-server.conf"

    def _write_config(self) -> None:
        text = CONFIG.format(
            host=HOST,
            port=self.port,
            monitor_port=self.monitor_port,
            max_payload=MAX_PAYLOAD_BYTES,
            user=USER,
            password=json.dumps(self._password),
            store=json.dumps(str(self._folder / "store"), ensure_ascii=False),
            store_bytes_max=STORE_BYTES_MAX,
        )
        write_private(self._config, text)

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                while not await self.healthy():
                    if not self.alive:
                        raise StartError(f"nats-server did not start: {self.child.last_words()} (see {self._log})")
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            await self.kill()
            raise StartError(f"nats-server was not ready within {START_DEADLINE_S:.0f} s (see {self._log})") from None

    async def healthy(self) -> bool:
        """Whether it says that all is well. It does not after a full disk, and then stays so until it is restarted."""
        return self.alive and await http_status(HOST, self.monitor_port, "/healthz", HEALTH_TIMEOUT_S) == 200

    async def stop(self) -> None:
        """Stops it in order and gives its ports back. Does nothing if it does not run."""
        if self._child is not None:
            await self._child.stop(grace_s=STOP_GRACE_S)
        for port in (self._port, self._monitor_port):
            if port is not None:
                port.release()
        self._port = self._monitor_port = None

    async def kill(self) -> None:
        """Ends it at once (-9), as a crash would."""
        await self.child.kill()


def _binary() -> str:
    wheel = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(wheel) if os.access(wheel, os.X_OK) else shutil.which("nats-server")
    if found is None:
        raise StartError("there is no nats-server program; install the project's requirements again")
    return found
