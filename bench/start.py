"""Seconds from `leadscore up` in an empty folder until every door is open, against the start of the bare servers."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.outcome import Outcome
from embedded.nats import NatsServer
from embedded.postgres import Postgres

ROUNDS = 3
DEADLINE_S = 120.0
LOOK_S = 0.02
"""How exactly the start is measured."""


async def measure(quick: bool) -> dict[str, Outcome]:
    """The best of some rounds of each."""
    rounds = 1 if quick else ROUNDS
    value = min([await asyncio.to_thread(_up_s) for _ in range(rounds)])
    against = min([await _bare_s() for _ in range(rounds)])
    details = {"more than the bare servers, s": round(value - against, 2)}
    return {"start": Outcome(value, against, "s", more_is_better=False, details=details)}


def _up_s() -> float:
    with tempfile.TemporaryDirectory(prefix="leadscore-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        ports = {f"LEADSCORE_{each}_PORT": "0" for each in ("GATEWAY", "INGEST", "SCORER", "QUERY")}
        started = time.perf_counter()
        with (folder / "up.log").open("wb") as log:
            environment = {**os.environ, **ports, "LEADSCORE_DATA_DIR": name}
            command = [sys.executable, "-m", "cli", "up"]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            while not (folder / "doors.json").exists():
                assert process.poll() is None and time.perf_counter() - started < DEADLINE_S
                time.sleep(LOOK_S)
            return time.perf_counter() - started
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE_S)


async def _bare_s() -> float:
    with tempfile.TemporaryDirectory(prefix="leadscore-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # noqa: ASYNC240 - PostgreSQL's own account passes through
        postgres, nats = Postgres(folder / "postgres"), NatsServer(folder / "nats")
        started = time.perf_counter()
        await asyncio.gather(postgres.start(), nats.start())
        taken = time.perf_counter() - started
        await asyncio.gather(postgres.stop(), nats.stop())
    return taken
