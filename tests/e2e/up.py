"""A suite that `leadscore up` runs, for tests to talk to, look into, and break."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx

LINE_DEADLINE_S = 60.0
GONE_DEADLINE_S = 30.0
PARTS = ("nats-server", "bin/postgres", "services.ingest", "services.scorer", "services.query", "-m gateway")


class Up:
    """A suite that was started in a folder."""

    def __init__(self, folder: Path, **settings: str) -> None:
        doors = {f"LEADSCORE_{name}_PORT": "0" for name in ("GATEWAY", "INGEST", "SCORER", "QUERY")}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LEADSCORE_")}
        self.folder = folder
        self.environment = {**kept, **doors, "LEADSCORE_DATA_DIR": str(folder), **settings}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "up"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def until(self, *words: str) -> str:
        """Waits for a line that holds all the words, and answers it."""
        while (line := self._lines.get(timeout=LINE_DEADLINE_S)) is not None:
            self.said.append(line)
            if all(word in line for word in words):
                return line
        raise AssertionError(f"it ended without saying {words}: {self.said}")

    def ready(self) -> Up:
        self.until("Ctrl-C stops everything")
        return self

    def doors(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.folder / "doors.json").read_text())
        return found

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://{self.doors()['gateway']}", timeout=30)

    def pids_of(self, part: str) -> list[int]:
        """The processes of a part, as `ps` shows it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        shown = {int(pid): Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in children}
        return [pid for pid, command in shown.items() if part in command]

    def pid_of(self, part: str) -> int:
        """The process of a part that there is one of."""
        (found,) = self.pids_of(part)
        return found

    def watch_parts(self) -> list[int]:
        """A descriptor for each part, for `all_gone`."""
        return [os.pidfd_open(self.pid_of(part)) for part in PARTS]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(GONE_DEADLINE_S)
        self._reader.join(GONE_DEADLINE_S)
        while (line := self._lines.get(timeout=LINE_DEADLINE_S)) is not None:
            self.said.append(line)
        return code

    def close(self) -> None:
        """Stops it if it runs, and lets go of what is left of it."""
        if self.process.poll() is None:
            self.stop()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def all_gone(descriptors: list[int]) -> bool:
    """Waits until all these processes have ended."""
    gone = [bool(select.select([each], [], [], GONE_DEADLINE_S)[0]) for each in descriptors]
    for each in descriptors:
        os.close(each)
    return all(gone)


def refusal(folder: Path, **settings: str) -> str:
    """What a start that cannot be says; it must be one sentence."""
    up = Up(folder, **settings)
    assert up.process.wait(GONE_DEADLINE_S) == 1
    up._reader.join()
    assert up.process.stdout is not None
    up.process.stdout.close()
    lines = list(iter(up._lines.get, None))
    assert not [line for line in lines if "Traceback" in line]
    return str(lines[-1])


def post_event(client: httpx.Client, lead: str) -> str:
    answer = client.post("/v1/events", json={"leadId": lead, "type": "demo_request"})
    answer.raise_for_status()
    return str(answer.json()["consistencyToken"])


def score_of(client: httpx.Client, lead: str, token: str = "") -> int:
    answer = client.get(f"/v1/leads/{lead}", params={"consistencyToken": token})
    answer.raise_for_status()
    return int(answer.json()["score"])
