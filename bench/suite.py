"""A suite of the benchmark's own: real processes on free ports, in a folder that is removed."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_DEADLINE_S = 120.0
STOP_DEADLINE_S = 30.0
LOOK_S = 0.1


@contextmanager
def running_suite() -> Iterator[dict[str, str]]:
    """Starts the whole suite and answers the addresses of its doors."""
    with tempfile.TemporaryDirectory(prefix="leadscore-bench-") as folder:
        ports = {f"LEADSCORE_{name}_PORT": "0" for name in ("GATEWAY", "INGEST", "SCORER", "QUERY")}
        environment = {**os.environ, **ports, "LEADSCORE_DATA_DIR": folder}
        command = [sys.executable, "-m", "cli", "up"]
        with (Path(folder) / "up.log").open("wb") as log:
            suite = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield _doors(Path(folder), suite)
        finally:
            suite.send_signal(signal.SIGINT)
            suite.wait(STOP_DEADLINE_S)


def _doors(folder: Path, suite: "subprocess.Popen[bytes]") -> dict[str, str]:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and suite.poll() is None:
        if (folder / "doors.json").exists():
            doors: dict[str, str] = json.loads((folder / "doors.json").read_text())
            return doors
        time.sleep(LOOK_S)
    raise SystemExit(f"the suite did not start:\n{(folder / 'up.log').read_text()}")
