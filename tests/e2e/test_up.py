"""`leadscore up` as a process: it starts, keeps running, says what happens, stops, and leaves nothing behind."""

import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.up.folder import is_taken

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

    def ready(self) -> "Up":
        self.until("Ctrl-C stops everything")
        return self

    def doors(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.folder / "doors.json").read_text())
        return found

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://{self.doors()['gateway']}", timeout=30)

    def pid_of(self, part: str) -> int:
        """The process of a part, as `ps` shows it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        shown = {int(pid): Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in children}
        (found,) = (pid for pid, command in shown.items() if part in command)
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


def all_gone(descriptors: list[int]) -> bool:
    """Waits until all these processes have ended."""
    gone = [bool(select.select([each], [], [], GONE_DEADLINE_S)[0]) for each in descriptors]
    for each in descriptors:
        os.close(each)
    return all(gone)


@pytest.fixture
def started() -> Iterator[list[Up]]:
    """The suites of a test, to be stopped at its end however it goes."""
    ups: list[Up] = []
    yield ups
    for up in ups:
        if up.process.poll() is None:
            up.stop()
        up.process.wait()
        assert up.process.stdout is not None
        up.process.stdout.close()


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


def test_a_suite_starts_scores_stops_and_has_its_data_the_next_time(tmp_path: Path, started: list[Up]) -> None:
    first = Up(tmp_path / "data").ready()
    started.append(first)
    key = next(line.strip() for line in first.said if line.strip().startswith("lsk_"))
    with first.client() as client:
        token = post_event(client, "ada")
        assert score_of(client, "ada", token) == 50
        with_key = client.get("/v1/leads/ada", headers={"authorization": f"Bearer {key}"})
        assert with_key.status_code == 200
        assert client.get("/v1/leads/ada", headers={"authorization": "Bearer guess"}).status_code == 401
    parts = first.watch_parts()
    assert first.stop(signal.SIGTERM) == 0
    assert all_gone(parts)
    assert not (tmp_path / "data" / "doors.json").exists()
    again = Up(tmp_path / "data").ready()
    started.append(again)
    assert not [line for line in again.said if "lsk_" in line], "the key is shown once"
    with again.client() as client:
        assert score_of(client, "ada") == 50
        assert client.get("/v1/leads/ada", headers={"authorization": f"Bearer {key}"}).status_code == 200
    assert again.stop() == 0


def test_whatever_is_killed_or_hangs_comes_back_and_the_terminal_says_so(tmp_path: Path, started: list[Up]) -> None:
    up = Up(tmp_path / "data").ready()
    started.append(up)
    names = ("nats-server", "postgres", "ingest", "scorer", "query", "gateway")
    running = {name: up.pid_of(part) for part, name in zip(PARTS, names, strict=True)}
    for name, before in running.items():
        os.kill(before, signal.SIGKILL)
        up.until(name, "has ended (killed by SIGKILL)")
        running[name] = int(up.until(name, "runs again").rpartition("pid ")[2].strip(")"))
        assert running[name] != before
    os.kill(running["query"], signal.SIGSTOP)
    up.until("query does not answer")
    up.until("query runs again")
    assert refusal(tmp_path / "data").startswith(f"Error: another suite runs in the data folder {tmp_path / 'data'}")
    assert up.stop() == 0


def test_no_part_outlives_a_supervisor_that_was_killed_and_nothing_is_lost(tmp_path: Path, started: list[Up]) -> None:
    up = Up(tmp_path / "data", LEADSCORE_ADMIN_KEY="sesame-open").ready()
    started.append(up)
    with up.client() as client:
        assert client.get("/v1/leaderboard").status_code == 401, "a key that is set is needed"
        client.headers["authorization"] = "Bearer sesame-open"
        post_event(client, "ada")
    for part in PARTS:
        assert b"sesame-open" not in Path(f"/proc/{up.pid_of(part)}/environ").read_bytes()
    parts = up.watch_parts()
    up.stop(signal.SIGKILL)
    assert all_gone(parts)
    again = Up(tmp_path / "data").ready()
    started.append(again)
    with again.client() as client:
        assert score_of(client, "ada", post_event(client, "ada")) == 100
    assert again.stop() == 0


def test_what_is_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refusal(tmp_path / "other", LEADSCORE_GATEWAY_PORT=port)
        assert (
            said
            == f"Error: port {port} on 127.0.0.1 is taken by another program; set LEADSCORE_GATEWAY_PORT to another"
        )
    (tmp_path / "file").touch()
    said = refusal(tmp_path / "file")
    assert said.startswith(f"Error: the data folder {tmp_path / 'file'} cannot be written")
    said = refusal(tmp_path / "third", LEADSCORE_INGEST_PORT="many")
    assert said == "Error: LEADSCORE_INGEST_PORT must be a whole number, not 'many'"
    said = refusal(tmp_path / "fourth", LEADSCORE_DATABASE_URL="postgresql://a:b@127.0.0.1:1/c")
    assert said.startswith("Error: the database could not be prepared: ")


def test_ctrl_c_while_it_starts_leaves_nothing_behind(tmp_path: Path, started: list[Up]) -> None:
    up = Up(tmp_path / "data")
    started.append(up)
    up.until("starting")
    assert up.stop() == 0
    assert not is_taken(tmp_path / "data")
    inside = [link for link in Path("/proc").glob("[0-9]*/cwd") if str(tmp_path) in where(link)]
    assert not inside


def where(link: Path) -> str:
    """Where a process works; nowhere if it has just ended."""
    try:
        return str(link.readlink())
    except OSError:
        return ""
