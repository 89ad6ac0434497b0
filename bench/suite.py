"""A suite of the benchmark's own: real processes and servers on free ports, in a folder that is removed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from embedded.nats import NatsServer
from embedded.postgres import Postgres

START_DEADLINE_S = 120.0
STOP_DEADLINE_S = 30.0
LOOK_S = 0.05
"""How often it is looked whether all doors are open."""
MODULES = ("services.ingest", "services.scorer", "services.query", "gateway")


class Suite:
    """A suite that runs. `doors` are its addresses by name."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path, postgres: Postgres, nats: NatsServer) -> None:
        self._process = process
        self._folder = folder
        self.postgres = postgres
        self.nats = nats
        self.doors: dict[str, str] = {}
        self.more: list[subprocess.Popen[bytes]] = []

    async def ready(self) -> None:
        """Waits until all doors are open."""
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if (self._folder / "doors.json").exists():
                self.doors = json.loads((self._folder / "doors.json").read_text())
                return
            await asyncio.sleep(LOOK_S)
        raise SystemExit(f"the suite did not start:\n{(self._folder / 'up.log').read_text()}")

    def add_scorer(self) -> None:
        """Starts one more scorer."""
        environment = next(each.environ() for each in self.processes()["scorer"])
        command = [sys.executable, "-m", "services.scorer"]
        log = (self._folder / f"scorer-{len(self.more) + 2}.log").open("wb")
        self.more.append(subprocess.Popen(command, env={**environment, "LEADSCORE_SCORER_PORT": "0"}, stderr=log))

    def processes(self) -> dict[str, list[psutil.Process]]:
        """The processes of the suite, by what they are."""
        found: dict[str, list[psutil.Process]] = {
            "nats-server": [psutil.Process(self.nats.child.pid)],
            "postgres": [psutil.Process(self.postgres.child.pid)],
        }
        found["postgres"] += found["postgres"][0].children(recursive=True)
        children = psutil.Process(self._process.pid).children(recursive=True)
        for process in [*children, *(psutil.Process(each.pid) for each in self.more)]:
            module = next((each for each in MODULES if each in process.cmdline()), None)
            if module is not None:
                found.setdefault(module.rpartition(".")[2], []).append(process)
        return found

    def cpu_s(self) -> dict[str, float]:
        """Seconds of processor time that each kind of process has used so far."""
        return {name: sum(map(_cpu_s, processes)) for name, processes in self.processes().items()}

    def rss_mb(self) -> dict[str, float]:
        """Memory of the largest process of each kind, in MB."""
        return {
            name: max(each.memory_info().rss for each in processes) / 1e6
            for name, processes in self.processes().items()
        }

    async def stop(self) -> None:
        """Stops the suite in order."""
        for process in (*self.more, self._process):
            process.send_signal(signal.SIGINT)
        for process in (*self.more, self._process):
            await asyncio.to_thread(process.wait, STOP_DEADLINE_S)


@asynccontextmanager
async def running_suite(**settings: str) -> AsyncIterator[Suite]:
    """Starts PostgreSQL, nats-server and the suite on them, durable as they are shipped. `settings` are variables."""
    with tempfile.TemporaryDirectory(prefix="leadscore-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # noqa: ASYNC240 - PostgreSQL's own account passes through
        postgres = Postgres(folder / "postgres")
        await postgres.start()
        try:
            async with suite_on(postgres, postgres.url, **settings) as suite:
                yield suite
        finally:
            await postgres.stop()


@asynccontextmanager
async def suite_on(postgres: Postgres, database_url: str, **settings: str) -> AsyncIterator[Suite]:
    """Starts nats-server and the suite, on a database of a PostgreSQL that runs."""
    with tempfile.TemporaryDirectory(prefix="leadscore-bench-") as name:
        folder = Path(name)
        nats = NatsServer(folder / "nats")
        await nats.start()
        ports = {f"LEADSCORE_{name}_PORT": "0" for name in ("GATEWAY", "INGEST", "SCORER", "QUERY")}
        urls = {"LEADSCORE_DATABASE_URL": database_url, "LEADSCORE_NATS_URL": nats.url, "LEADSCORE_DATA_DIR": name}
        with (folder / "up.log").open("wb") as log:
            command = [sys.executable, "-m", "cli", "up"]
            environment = {**os.environ, **ports, **urls, **settings}
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: ASYNC220 - read and ended by others
        suite = Suite(process, folder, postgres, nats)
        try:
            await suite.ready()
            yield suite
        finally:
            await suite.stop()
            await nats.stop()


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
